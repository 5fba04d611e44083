"""Which modules of a recorded forward are residual units: in every call, with weights nobody else reads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from robustprune.models.skip import Activation, needed, skip_path
from robustprune.models.trace import Call, Trace


@dataclass(frozen=True)
class Unit:
    """A module that can be replaced by its skip path: its calls, and the activations that have to stay."""

    calls: list[Call]
    activations: tuple[Activation, ...]


def residual_units(model: nn.Module, recorded: Trace) -> dict[str, Unit]:
    """The smallest residual units by name, in order of execution: no unit holds another one."""
    units: dict[str, Unit] = {}
    for name, calls in _calls_by_name(model, recorded).items():
        path = _path(recorded, name, calls)
        if path is not None:
            units[name] = Unit(calls, path)
    return {name: unit for name, unit in units.items() if not _holds_another(name, units)}


def _holds_another(name: str, units: dict[str, Unit]) -> bool:
    return any(other.startswith(f"{name}.") for other in units)


def _calls_by_name(model: nn.Module, recorded: Trace) -> dict[str, list[Call]]:
    """The calls of every module but the root, by its name, in order of the first call."""
    names = {module: name for name, module in model.named_modules()}
    calls: dict[str, list[Call]] = {}
    for call in recorded.calls:
        if names[call.module]:
            calls.setdefault(names[call.module], []).append(call)
    return calls


def _path(recorded: Trace, name: str, calls: list[Call]) -> tuple[Activation, ...] | None:
    """The activations that must stay if the module goes; None if it cannot go."""
    if next(calls[0].module.parameters(), None) is None:
        return None
    paths = {skip_path(recorded, call) for call in calls}
    path = paths.pop()
    if paths or path is None or _used_elsewhere(recorded, name, calls):
        return None
    return max((needed(path, call.extremes) for call in calls), key=len)


def _used_elsewhere(recorded: Trace, name: str, calls: list[Call]) -> bool:
    """True if somebody outside reads a weight that only this module holds, and would miss it."""
    inside = {value for key, value in recorded.weights.items() if key.startswith(f"{name}.")}
    own = inside - {value for key, value in recorded.weights.items() if not key.startswith(f"{name}.")}
    spans = [range(call.start, call.end) for call in calls]
    return any(
        not own.isdisjoint(operation.inputs) and not any(index in span for span in spans)
        for index, operation in enumerate(recorded.operations)
    )
