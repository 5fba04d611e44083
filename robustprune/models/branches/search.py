"""Finding the units of one size: the outermost, the smallest, or single branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from robustprune.errors import InputError
from robustprune.models.branches.live import Addition, additions, blanks
from robustprune.models.paths import LAYER_NORM
from robustprune.models.skip import Blanks, Skip
from robustprune.models.trace import Call, Trace
from robustprune.models.units import (
    Branch,
    Sum,
    Unit,
    UnitSize,
    Way,
    all_units,
    calls_by_name,
    flow,
    outermost,
    skip_path,
    smallest,
    used_elsewhere,
)

SIZES = ("outermost", "smallest", "branch")


def residual_units(model: nn.Module, recorded: Trace, size: UnitSize = "outermost") -> dict[str, Unit]:
    """The residual units of one size by name, in order of execution: no unit holds another one.

    "outermost": those with an addition of their own that lie in no other such unit. "smallest": those that hold none.
    "branch": what each addition on the skip path of an outermost one adds; one with a single addition is its own
    branch. Raises InputError for another size.
    """
    if size not in SIZES:
        raise InputError(f"unit={size!r}: expected one of {', '.join(SIZES)}")
    units = all_units(model, recorded)
    if size == "outermost":
        return outermost(recorded, units)
    search = Search(model, recorded, units, calls_by_name(model, recorded))
    branches = {name: unit for block in outermost(recorded, units) for name, unit in search.branches(block).items()}
    if size == "branch":
        return branches
    return {name: branches.get(name, unit) for name, unit in smallest(units).items()}


@dataclass(frozen=True)
class Search:
    """A recorded network, its units and the calls of its modules."""

    model: nn.Module
    recorded: Trace
    units: Mapping[str, Unit]
    calls: Mapping[str, list[Call]]

    def branches(self, block: str) -> dict[str, Unit]:
        """The branches of a block by name; the block itself where it has only one."""
        whole = self.units[block]
        found = [[*self._additions(call)] for call in whole.calls]
        if len({len(places) for places in found}) > 1:
            return {block: whole}
        places = [*zip(*found, strict=True)]
        if len(places) == 1 and not any(isinstance(one, Skip) for one in self.model.get_submodule(block).modules()):
            return {block: whole}
        branches = [branch for place in places if (branch := self._branch(block, place)) is not None]
        return dict(branches) or {block: whole}

    def _additions(self, call: Call) -> Iterator[Addition]:
        found = skip_path(self.recorded, call)
        assert found is not None, "a unit has a skip path"
        key, path = found
        return additions(self.recorded, call, flow(self.recorded, call, key), [*path.joins])

    def _branch(self, block: str, places: Sequence[Addition]) -> tuple[str, Unit] | None:
        """What is added in one place in every call of a block: a unit inside it, or a module that gives zeros."""
        joins = frozenset(place.join for place in places)
        inner = [name for name, unit in self.units.items() if name.startswith(f"{block}.") and unit.joins == joins]
        if inner and not self._normalised(places):
            name = min(inner, key=lambda one: one.count("."))
            found = self.units[name]
            return name, Unit(found.calls, found.way, joins, found.shape, idle=self._idle(block, places, name))
        cuts = [(name, zeros) for name, zeros in self._candidates(block, places) if self._zeroes(name, places)]
        if not cuts:
            return None
        at, zeros = max(cuts, key=lambda cut: self._size(cut[0]))
        idle = self._idle(block, places, at)
        name = max((at, *(beside for beside, _ in idle)), key=self._size)
        way = Branch(at, zeros, Sum(block, places[0].number, places[0].argument))
        return name, Unit(self.calls[name], Way(()), joins, self.units[block].shape, branch=way, idle=idle)

    def _normalised(self, places: Sequence[Addition]) -> bool:
        """Whether normalisations follow the additions, which stay when only one of them goes."""
        return any(self.recorded.operations[place.join + 1].name == LAYER_NORM for place in places)

    def _candidates(self, block: str, places: Sequence[Addition]) -> Iterator[tuple[str, Blanks]]:
        """The modules of a block that have nothing to do in any call without what is added there, outermost first."""
        for name, calls in self.calls.items():
            if not name.startswith(f"{block}."):
                continue
            if all(any(_within(call, place.call) and place.idle(call) for place in places) for call in calls):
                zeros = blanks(calls)
                if zeros is not None and not used_elsewhere(self.recorded, name, calls):
                    yield name, zeros

    def _zeroes(self, name: str, places: Sequence[Addition]) -> bool:
        """Whether zeros from that module would make zero what is added in every call of the block."""
        pairs = zip(places, self.calls[name], strict=False)
        return len(self.calls[name]) == len(places) and all(place.zeroes(call) for place, call in pairs)

    def _idle(self, block: str, places: Sequence[Addition], gone: str) -> tuple[tuple[str, Blanks], ...]:
        """The largest modules beside the one that goes which have nothing to do without it, and their zeros."""
        beside = [
            (name, zeros)
            for name, zeros in self._candidates(block, places)
            if not f"{gone}.".startswith(f"{name}.") and not name.startswith(f"{gone}.")
        ]
        names = [name for name, _ in beside]
        return tuple(one for one in beside if not any(one[0].startswith(f"{name}.") for name in names))

    def _size(self, name: str) -> int:
        return sum(weights.numel() for weights in self.model.get_submodule(name).parameters())


def _within(call: Call, outer: Call) -> bool:
    return call is not outer and outer.start <= call.start and call.end <= outer.end
