"""What a block still needs when one of the things that it adds to its skip path is no longer added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from robustprune.models.paths import Flow, zero_with
from robustprune.models.recorder import Operation, Value
from robustprune.models.skip import Blank, Blanks
from robustprune.models.trace import Call, Trace


@dataclass(frozen=True)
class Addition:
    """One addition on the skip path in one call of a block: operation `join`, at whose `argument` the path arrives."""

    recorded: Trace
    call: Call
    join: int
    argument: int

    @property
    def operation(self) -> Operation:
        """The addition itself."""
        return self.recorded.operations[self.join]

    @cached_property
    def number(self) -> int:
        """How many additions there were in this call before."""
        return sum(one.name in ADDITIONS for one in self.recorded.operations[self.call.start : self.join])

    @cached_property
    def made_by(self) -> dict[Value, int]:
        """Value -> the operation in this call that made it."""
        found: dict[Value, int] = {}
        for index in range(self.call.start, self.call.end):
            operation = self.recorded.operations[index]
            for value in operation.outputs:
                if value not in operation.inputs:
                    found.setdefault(value, index)
        return found

    @cached_property
    def zeroing(self) -> list[Value]:
        """The values each of which alone, were it zero, would make zero what is added; the nearest first."""
        path = self.operation.args[self.argument]
        found = [value for value in self.operation.args if isinstance(value, Value) and value != path]
        for value in found:
            index = self.made_by.get(value, self.join)
            before = zero_with(self.recorded.operations[index]) if index < self.join else []
            found += [value for value in before if value not in found]
        return found

    @cached_property
    def needed(self) -> set[Value]:
        """What is still read, or given out, where nothing is added here."""
        operations = self.recorded.operations
        after = {value for one in operations[self.call.end :] for value in one.inputs}
        live = {value for value in self.made_by if value in after}
        live.update(result for result in self.call.results if isinstance(result, Value))
        for index in range(self.call.end - 1, self.call.start - 1, -1):
            operation = operations[index]
            if index == self.join:
                live.update(value for value in operation.args[self.argument : self.argument + 1])
            elif not live.isdisjoint(operation.outputs):
                live.update(operation.inputs)
        return live

    def idle(self, call: Call) -> bool:
        """Whether a call inside it does some work, and nobody uses it."""
        results = [result for result in call.results if isinstance(result, Value)]
        works = any(call.contains(self.made_by.get(result, -1)) for result in results)
        return works and self.needed.isdisjoint(results)

    def zeroes(self, call: Call) -> bool:
        """Whether zeros from a call inside it would make zero what is added."""
        return any(call.contains(self.made_by.get(value, -1)) and value in call.results for value in self.zeroing)


ADDITIONS = ("add", "sub", "addcmul")


def additions(recorded: Trace, call: Call, spread: Flow, joins: Sequence[int]) -> Iterator[Addition]:
    """The additions of these numbers; `spread` says which values are on the skip path."""
    for join in sorted(joins):
        args = recorded.operations[join].args
        yield Addition(recorded, call, join, next(place for place, value in enumerate(args) if value in spread.paths))


def blanks(calls: Sequence[Call]) -> Blanks | None:
    """The zeros that can take the place of what a module returns, alike in all its calls; None if there are none."""
    found = {_blanks(call) for call in calls}
    return found.pop() if len(found) == 1 else None


def _blanks(call: Call) -> Blanks | None:
    key = call.first if call.first is not None else next(iter(call.inputs), None)
    if key is None:
        return None
    like, parts = call.inputs[key], list[Blank | bool | int | float | str | None]()
    for result in call.results:
        if isinstance(result, Value) and result.dtype is not None and result.dtype.is_floating_point:
            axes = zip(result.shape, (*like.shape, *(-1,) * len(result.shape)), strict=False)
            lengths = tuple(None if length == theirs else length for length, theirs in axes)
            parts.append(Blank(lengths, None if result.dtype == like.dtype else result.dtype))
        elif result is None or isinstance(result, bool | int | float | str):
            parts.append(result)
        else:
            return None
    return Blanks(key, tuple(parts), call.kind) if any(isinstance(part, Blank) for part in parts) else None
