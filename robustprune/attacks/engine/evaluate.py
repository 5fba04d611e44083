"""The door: attacks on the samples of one network, and the target they are lent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.found import Evaluation, Passes
from robustprune.attacks.contract.target import Counted, Target
from robustprune.attacks.contract.texts import check_kind
from robustprune.attacks.engine.guard import attacking, check_samples
from robustprune.attacks.engine.lean import SAMPLES
from robustprune.attacks.engine.memory import fitting_batch, with_fixed_batch
from robustprune.attacks.engine.precision import InBfloat16, use_of_bfloat16
from robustprune.attacks.engine.prepared import looked_at
from robustprune.attacks.engine.random_parts import seed_generators
from robustprune.attacks.engine.session import Session
from robustprune.attacks.engine.settings import Keywords, Settings
from robustprune.errors import InputError
from robustprune.models.device import device_of
from robustprune.models.lending import Memory, is_text, restored
from robustprune.models.made import returning_logits
from robustprune.results.records import Outcomes


def evaluate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attacks: Sequence[Attack],
    *,
    parent: nn.Module | Sequence[nn.Module] | None = None,
    tick: Callable[[int, int], None] | None = None,
    on_outcome: Callable[[Outcomes], None] | None = None,
    **settings: Unpack[Keywords],
) -> Evaluation:
    """Attack `model` on images `x` (n, C, H, W) in [0,1] of true classes `y` (n,); return per-sample outcomes.

    Texts are token numbers, int64 (n, T), of a `TextNetwork`; attacks on images do not run on them.
    `model` returns logits (n, classes), alone or where `logits_alone` finds them; it is used in eval mode and comes
    back exactly as it was. The
    outcomes stand in the order of `attacks`. The same seed gives the same outcomes; order and batch size of
    the samples play no part, since randomness is drawn from each sample's content. `parent`: network(s) for
    transfer attacks. `tick(done, total)` counts samples times attacks. `on_outcome` gets each attack's
    outcomes as soon as they are there, so that nothing is lost when a later attack is interrupted.
    `settings`: seed, batch_size, device, fresh, prepared, precision, keep (settings.py says what they mean).

    A network with random parts is noticed; attack it with `eot=20`. A sample then is right, or broken, by the majority
    of 21 fresh passes (random_parts.py). The same seed still gives the same outcomes, but only in the same order and
    batch size, since the network draws for a batch as a whole.

    The network gets copies of the images, in the type of its weights. Raises InputError for images outside [0,1], NaN,
    wrong shapes, no logits, a network that fails on every image, or two attacks of one name and budget.

    >>> from robustprune.attacks.algorithms.pgd import PGD
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    >>> _ = net[1].weight.data.copy_(torch.tensor([[-1.0], [0.0]]))  # class 0 at x = 0, class 1 above
    >>> result = evaluate(net, torch.tensor([0.5]).view(1, 1, 1, 1), torch.tensor([1]), [PGD(eps=0.1)])
    >>> result.clean, result.outcomes[0].status
    ([True], 'r')
    """
    given = with_fixed_batch(Settings(**settings), attacks)
    check_samples(x, y)
    check_attacks(attacks)
    check_kind(x, attacks)
    x, y = x.detach().to("cpu", torch.int64 if is_text(x) else torch.float32), y.detach().to("cpu", torch.int64)
    parents = tuple([parent] if isinstance(parent, nn.Module) else parent or ())
    with target_for(model, x, given, parents) as target:
        return Session(target, x, y, given.seed, len(attacks), tick, given.keep).run(attacks, on_outcome)


def check_attacks(attacks: Sequence[Attack]) -> None:
    """Refuse attacks whose results could not be told apart."""
    labels = [f"{attack.name} at {attack.threat}" for attack in attacks]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"attacks: {twice[0]} is there twice; give one of them another name=...")


def moved(model: nn.Module, device: torch.device) -> nn.Module:
    """Return `model` itself where it lies on `device` already, else a copy there."""
    here = device_of(model)
    same = here.type == device.type and (device.index is None or device.index == here.index)
    return model if same else copy.deepcopy(model).to(device)


@contextmanager
def target_for(
    model: nn.Module, x: Tensor, settings: Settings, parents: tuple[nn.Module, ...] = ()
) -> Iterator[Target]:
    """Lend what attacks see of `model`: a lean copy for gradients, and the original as judge.

    `x` (n, C, H, W) are samples on which the copy is compared with the original. `model` and `parents` come
    back as they were.
    """
    place = torch.device(settings.device) if settings.device is not None else device_of(model)
    model, parents = moved(model, place), tuple(moved(one, place) for one in parents)
    passes, use = Passes(), use_of_bfloat16(settings.precision, place)
    known = {network: found for network in (model, *parents) if (found := settings.known(network))}
    with ExitStack() as stack:
        before, few = None if model in known else Memory.of(model), x[:SAMPLES].to(place)
        for network in (model, *parents):
            sure = network in known and not known[network].more
            stack.enter_context(attacking(network))
            stack.enter_context(returning_logits(network, few[:0] if sure else few))
        seed_generators(settings.seed, place)
        ready = known[model] if before is None else looked_at(model, few, before, settings.fresh)
        if before is None:  # the copy is used again
            stack.enter_context(restored(ready.lean.net))
        fresh, lean = ready.fresh, ready.lean
        if fresh > 1 and use == "where it pays":
            use = "never"  # else the clock would decide which draws a random network makes
        notes: dict[str, Any] = {
            "batchnorm_folded": lean.folded,
            "precision": "bfloat16, then float32" if use == "always" else "float32",
            "fresh passes": fresh,
        }
        notes |= {"left out": list(lean.fallen)} if lean.fallen else {}
        notes |= {"changes itself": list(ready.changed)} if ready.changed else {}
        yield Target(
            model=Counted(lean.net, passes, place).eval(),
            judge=Counted(model, passes, place),
            low=Counted(InBfloat16(lean.net, place), passes, place).eval() if use != "never" else None,
            on_trial=use == "where it pays",
            device=place,
            batch_size=settings.batch_size or fitting_batch(ready, few, len(x)),
            passes=passes,
            keep=settings.keep or fresh > 1,
            fresh=fresh,
            parents=parents,
            guides={network: found.lean.net for network, found in known.items()},
            copies=lean.copied,
            notes=notes,
        )
