"""The iterates of a stepped attack, taken by hand and without anybody leaving."""

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.engine.window import look


def path(attack, net: nn.Module, x: Tensor, y: Tensor, seed: int = 0, run: int = 0, start: Tensor | None = None):
    """Return every iterate, the first included; `start` replaces the first."""
    stepper = attack.stepper(net)
    zero = torch.zeros(len(x), dtype=torch.long)
    state = {"row": torch.arange(len(x)), "x": x, "y": y, "run": zero + run, "step": zero}
    stepper.start(state, keys(x), seed)
    if start is not None:
        state["adv"] = start
    iterates = [state["adv"]]
    while bool((state["step"] < stepper.steps).any()):
        seen, _ = look(net, stepper, state)
        state["step"] = state["step"] + 1
        with torch.no_grad():
            stepper.advance(state, seen)
        iterates.append(state["adv"])
    return iterates
