"""Which modules of a recorded forward are residual units: in every call, with weights nobody else reads.

Units lie in one another. A stage is one only because the blocks in it are: all additions on its skip path happen in
them. A block has an addition of its own, and may hold smaller units: in its branch (a normalisation with a skip), or
beside that addition (a position encoding before the attention).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from robustprune.models.activations import Activation, needed
from robustprune.models.paths import Flow, SkipPath
from robustprune.models.skip import Blanks, Key, Place
from robustprune.models.trace import Call, Trace

UnitSize = Literal["outermost", "smallest", "branch"]
"""Which of the units that lie in one another is a block, or what is added on its skip path (`branches`)."""


@dataclass(frozen=True)
class Way:
    """How x goes through a unit: which argument it is, what stands on its path, and where it comes out."""

    activations: tuple[Activation, ...]
    argument: Key | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Sum:
    """Where a branch is added: addition `number` (from 0) in each call of the module `inside`; x is its `argument`."""

    inside: str
    number: int
    argument: int


@dataclass(frozen=True)
class Branch:
    """What is added to a skip path outside itself: the module at which `zeros` take its place, and where."""

    at: str
    zeros: Blanks
    sum: Sum


@dataclass(frozen=True)
class Unit:
    """A module that can be replaced by its skip path: its calls, its way, and the numbers of the additions on it.

    Of a branch whose addition lies outside it, `branch` says how it is replaced. `idle` are modules beside it whose
    work nobody uses without it.
    """

    calls: list[Call]
    way: Way
    joins: frozenset[int]
    shape: tuple[int, ...]
    branch: Branch | None = None
    idle: tuple[tuple[str, Blanks], ...] = ()


def all_units(model: nn.Module, recorded: Trace) -> dict[str, Unit]:
    """Every module that can be replaced by its skip path, by name, in order of execution."""
    units: dict[str, Unit] = {}
    for name, calls in calls_by_name(model, recorded).items():
        unit = _unit(recorded, name, calls)
        if unit is not None:
            units[name] = unit
    return units


def outermost(recorded: Trace, units: Mapping[str, Unit]) -> dict[str, Unit]:
    """Those with an addition of their own, or work outside the units inside, that lie in no other such unit."""
    own = {name: unit for name, unit in units.items() if _adds(name, units) or _works(recorded, name, units)}
    return {name: unit for name, unit in own.items() if not any(name.startswith(f"{other}.") for other in own)}


def smallest(units: Mapping[str, Unit]) -> dict[str, Unit]:
    """Those that hold no other."""
    return {name: unit for name, unit in units.items() if not _inside(name, units)}


def _inside(name: str, units: Mapping[str, Unit]) -> list[Unit]:
    return [unit for other, unit in units.items() if other.startswith(f"{name}.")]


def _adds(name: str, units: Mapping[str, Unit]) -> bool:
    """Whether an addition on the unit's skip path happens in no unit inside it."""
    inner = [call for unit in _inside(name, units) for call in unit.calls]
    return any(not any(call.contains(join) for call in inner) for join in units[name].joins)


def _works(recorded: Trace, name: str, units: Mapping[str, Unit]) -> bool:
    """Whether a unit that holds units computes anything with its weights outside them, for them to add."""
    inner = [call for unit in _inside(name, units) for call in unit.calls]
    own = {value for key, value in recorded.weights.items() if key.startswith(f"{name}.")}
    return any(
        not own.isdisjoint(recorded.operations[index].inputs) and not any(call.contains(index) for call in inner)
        for call in units[name].calls
        for index in range(call.start, call.end)
    )


def calls_by_name(model: nn.Module, recorded: Trace) -> dict[str, list[Call]]:
    """The calls of every module but the root, by its name, in order of the first call."""
    names = {module: name for name, module in model.named_modules()}
    calls: dict[str, list[Call]] = {}
    for call in recorded.calls:
        if names[call.module]:
            calls.setdefault(names[call.module], []).append(call)
    return calls


def _unit(recorded: Trace, name: str, calls: list[Call]) -> Unit | None:
    """The unit that a module is in all its calls; None if it cannot go."""
    if next(calls[0].module.parameters(), None) is None:
        return None
    found = [skip_path(recorded, call) for call in calls]
    paths = [one for one in found if one is not None]
    ways = {(key, path.activations, call.place) for (key, path), call in zip(paths, calls, strict=False)}
    if len(paths) < len(calls) or len(ways) > 1 or used_elsewhere(recorded, name, calls):
        return None
    key, activations, place = ways.pop()
    kept = max((needed(activations, call.extremes[key]) for call in calls), key=len)
    joins = frozenset[int]().union(*(path.joins for _, path in paths))
    argument = None if all(call.first == key for call in calls) else key
    return Unit(calls, Way(kept, argument, place), joins, calls[0].inputs[key].shape)


def skip_path(recorded: Trace, call: Call) -> tuple[Key, SkipPath] | None:
    """The argument from which a skip path leads to what a call returned, and the path; None if there is none."""
    for key, x in call.inputs.items():
        if call.output is not None and call.output.like(x):
            path = flow(recorded, call, key).paths.get(call.output)
            if path is not None and path.joins and path.undone and _ends_as_it_began(recorded, x, path):
                return key, path
    return None


def _ends_as_it_began(recorded: Trace, x: Value, path: SkipPath) -> bool:
    """Whether normalisations on the path may go: none, or one after each addition, and what comes in is normalised."""
    return not path.norms or (path.norms == len(path.joins) and x in recorded.normalised)


def flow(recorded: Trace, call: Call, key: Key) -> Flow:
    """How one argument spreads during a call."""
    spread = Flow(call.inputs[key], set(recorded.weights.values()), recorded.zeros)
    spread.follow(recorded.operations, call.start, call.end)
    return spread


def used_elsewhere(recorded: Trace, name: str, calls: list[Call]) -> bool:
    """True if somebody outside reads a weight that only this module holds, and would miss it."""
    inside = {value for key, value in recorded.weights.items() if key.startswith(f"{name}.")}
    own = inside - {value for key, value in recorded.weights.items() if not key.startswith(f"{name}.")}
    return any(
        not own.isdisjoint(operation.inputs) and not any(call.contains(index) for call in calls)
        for index, operation in enumerate(recorded.operations)
    )
