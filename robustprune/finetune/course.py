"""A training under way: what it is after each epoch, written down so that a killed one goes on as if it had not been.

What is kept is all that the next epoch depends on: parameters and buffers, the optimizer's momentum, the states of the
generators, how many epochs are done, and the best weights so far. What a network keeps elsewhere (a Python counter) is
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from robustprune.finetune.context import generator_states, set_generator_states
from robustprune.finetune.features import Ends
from robustprune.finetune.recipe import Recipe


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """A training after `done` epochs: tensors by name; the epoch that was best, from 1, and how accurate it was."""

    tensors: dict[str, Tensor]
    done: int
    best: int = 0
    accuracy: float = -1.0


class Keeper(Protocol):
    """Where a training is kept while it runs."""

    def load(self) -> State | None:
        """Where it stood; None where it begins."""

    def save(self, state: State) -> None:
        """Keep where it stands now, in place of what was kept before."""


@dataclass(kw_only=True, eq=False)
class Course:
    """A network with the optimizer and the generator that it is trained with, how far it is, and the best so far."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    parameters: Sequence[nn.Parameter]
    draws: torch.Generator
    device: torch.device
    ends: Ends = field(default_factory=Ends)
    """Where the network and its teacher are compared inside."""
    done: int = 0
    best: int = 0
    accuracy: float = -1.0
    kept: dict[str, Tensor] = field(default_factory=dict)
    """The weights of the best epoch, where samples are held out."""

    def finished(self, accuracy: float | None) -> None:
        """An epoch is done; `accuracy` on what was held out says whether its weights are the best so far."""
        self.done += 1
        if accuracy is not None and accuracy > self.accuracy:
            self.best, self.accuracy = self.done, accuracy
            self.kept = {name: tensor.detach().clone() for name, tensor in self._tensors().items()}

    def over(self, recipe: Recipe) -> bool:
        """Whether nothing is left to do: all epochs are done, or `patience` of them were no better than the best."""
        waited = recipe.patience is not None and self.done - self.best >= recipe.patience
        return self.done >= recipe.epochs or waited

    def settle(self) -> None:
        """Put the best weights into the network."""
        self._put(self.kept, self._tensors())

    def state(self) -> State:
        """Write down where it stands."""
        groups = {
            "network": self._tensors(),
            "best": self.kept,
            "momentum": self._momentum(),
            "generator": {"order": self.draws.get_state(), **generator_states(self.device)},
        }
        named = {f"{group}.{name}": tensor for group, found in groups.items() for name, tensor in found.items()}
        tensors = {name: tensor.detach().clone() for name, tensor in named.items()}
        return State(tensors=tensors, done=self.done, best=self.best, accuracy=self.accuracy)

    def put_back(self, state: State) -> None:
        """Go on from what was written down."""
        self.done, self.best, self.accuracy = state.done, state.best, state.accuracy
        self._put(_group(state, "network"), self._tensors())
        self.kept = {name: tensor.to(self.device) for name, tensor in _group(state, "best").items()}
        for place, tensor in _group(state, "momentum").items():
            parameter = self.parameters[int(place)]
            self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(tensor)
        generators = _group(state, "generator")
        self.draws.set_state(generators.pop("order"))
        set_generator_states(self.device, generators)

    def _tensors(self) -> dict[str, Tensor]:
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    def _momentum(self) -> dict[str, Tensor]:
        found = {str(n): self.optimizer.state[one].get("momentum_buffer") for n, one in enumerate(self.parameters)}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @staticmethod
    @torch.no_grad()
    def _put(tensors: dict[str, Tensor], places: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            places[name].copy_(tensor)


def _group(state: State, group: str) -> dict[str, Tensor]:
    """The tensors of one kind, by what they are called in it."""
    start = f"{group}."
    return {name.removeprefix(start): one for name, one in state.tensors.items() if name.startswith(start)}
