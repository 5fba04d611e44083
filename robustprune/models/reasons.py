"""Why a module cannot be replaced by its skip path: which operation on which path forbids it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import nn

from robustprune.models.paths import LAYER_NORM, MOVED, RESHAPED, Flow
from robustprune.models.recorder import Operation, Value
from robustprune.models.skip import Key
from robustprune.models.trace import Call, Trace
from robustprune.models.units import flow, skip_path, used_elsewhere

JOINS = ("add", "sub", "addcmul")

WORDS = {
    "convolution": "a convolution",
    "native_batch_norm": "a batch normalisation",
    "_native_batch_norm_legit_no_training": "a batch normalisation",
    "cudnn_batch_norm": "a batch normalisation",
    "native_layer_norm": "a layer normalisation",
    "native_group_norm": "a group normalisation",
    "_fused_rms_norm": "an RMS normalisation",
    "addmm": "a linear layer",
    "mm": "a linear layer",
    "bmm": "a matrix product",
    "max_pool2d_with_indices": "a max pooling",
    "avg_pool2d": "an average pooling",
    "mean": "a mean",
    "mul": "a multiplication",
    "div": "a division",
    "add": "an addition of something not computed from its input with weights",
    "sub": "a subtraction of something not computed from its input with weights",
    "partly written": "a part that is overwritten",
}


def why_not(recorded: Trace, name: str, calls: Sequence[Call], names: Mapping[nn.Module, str]) -> str:
    """The reason why a module, called so, is no unit; `names` are those of all modules."""
    for call in calls:
        reason = _why_not_once(recorded, call, names)
        if reason:
            return reason
    if used_elsewhere(recorded, name, list(calls)):
        return "its weights are read outside it too"
    return "it is called several times, and not in the same way"


def joins(operation: Operation, known: Collection[Value]) -> bool:
    """Whether two different of the `known` values are added, and the sum is no larger than they are."""
    (*_, output) = operation.outputs or (None,)
    summands = {value for value in operation.inputs if value in known and output is not None and value.like(output)}
    return operation.name in JOINS and len(summands) > 1


def shape_text(value: Value) -> str:
    """The shape of a value without the batch."""
    return "x".join(map(str, value.shape[1:])) or "a number"


def _why_not_once(recorded: Trace, call: Call, names: Mapping[nn.Module, str]) -> str:
    """The reason in one call; empty where the call has a skip path."""
    if skip_path(recorded, call) is not None:
        return ""
    tensors = [result for result in call.results if isinstance(result, Value)]
    if len(tensors) > 1:
        return f"it returns {len(tensors)} tensors, expected one"
    if not call.inputs:
        return "it takes no tensor"
    if call.output is None:
        returned = "more than a tensor" if tensors else type(next(iter(call.results), None)).__name__
        return f"it returns {returned}, expected one tensor or (tensor, None)"
    routes = {key: _route(recorded, call, key, call.output) for key in call.inputs}
    known = {key: route for key, route in routes.items() if route is not None}
    if not known:
        return "what it returns does not depend on what it is given"
    fitting = {key: route for key, route in known.items() if call.output.like(call.inputs[key])}
    key, route = min((fitting or known).items(), key=lambda item: len(item[1]))
    x, spread = call.inputs[key], flow(recorded, call, key)
    differ = "" if call.output.like(x) else _difference(x, call.output)
    return ", ".join(part for part in (_stopped(recorded, route, spread, call.output, names), differ) if part)


def _stopped(recorded: Trace, route: list[int], spread: Flow, output: Value, names: Mapping[nn.Module, str]) -> str:
    """What ends the skip path: the first operation on the route after which there is none."""
    if not any(joins(recorded.operations[index], spread.reached) for index in route):
        return "nothing is added to what it is given"
    for index in route:
        operation = recorded.operations[index]
        if not any(value in spread.paths for value in operation.outputs):
            return f"the skip path has {_named(operation)}{_place(recorded, index, names)}"
    path = spread.paths[output]
    norms = [index for index in route if path.norms and recorded.operations[index].name == LAYER_NORM]
    if norms:
        return f"the skip path has {_named(recorded.operations[norms[0]])}{_place(recorded, norms[0], names)}"
    if not path.joins:
        return "nothing that was computed with weights is added to its input"
    moves = [recorded.operations[index].name for index in route if recorded.operations[index].name in MOVED | RESHAPED]
    return "" if path.undone else f"the skip path has a {moves[0] if moves else 'move'} that is not undone"


def _named(operation: Operation) -> str:
    return WORDS.get(operation.name, f"the operation {operation.name}")


def _place(recorded: Trace, index: int, names: Mapping[nn.Module, str]) -> str:
    """The innermost module in which an operation happened."""
    inner = [names[call.module] for call in recorded.calls if call.contains(index)]
    return f" ({inner[-1]})" if inner and inner[-1] else ""


def _difference(x: Value, output: Value) -> str:
    if x.shape != output.shape:
        return f"its input {shape_text(x)} and output {shape_text(output)} differ"
    return f"its input is {x.dtype} and its output {output.dtype}"


def _route(recorded: Trace, call: Call, key: Key, output: Value) -> list[int] | None:
    """The fewest operations that lead from one argument to what the call returned; None if none do."""
    routes: dict[Value, list[int]] = {call.inputs[key]: []}
    for index in range(call.start, call.end):
        operation = recorded.operations[index]
        before = [routes[value] for value in operation.inputs if value in routes]
        if before:
            route = [*min(before, key=len), index]
            for value in operation.outputs:
                if value not in routes or len(route) < len(routes[value]):
                    routes[value] = route
    return routes.get(output)
