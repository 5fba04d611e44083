"""Every residual unit of a network, those that cannot go too, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from robustprune.models.blocks import Block, described, recorded_run
from robustprune.models.branches import residual_units
from robustprune.models.probe import Example
from robustprune.models.reasons import joins, shape_text, why_not
from robustprune.models.recorder import Operation, Value, dependents
from robustprune.models.skip import Key
from robustprune.models.trace import Call, Trace
from robustprune.models.units import UnitSize, calls_by_name


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A unit: a module with a block that can be removed, or with the reason why it cannot; shapes without the batch."""

    name: str
    kind: str
    input: str
    output: str
    block: Block | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The units of a network, in order of execution; `remark` says why none can go, where none can."""

    units: tuple[Surveyed, ...]
    remark: str = ""

    @property
    def blocks(self) -> list[Block]:
        """The removable ones."""
        return [unit.block for unit in self.units if unit.block is not None]


def survey(model: nn.Module, example: Example, unit: UnitSize = "outermost") -> Survey:
    """Look at every unit of `model`: the blocks that `find_blocks` finds, and what comes near to being one.

    That is a module in which two things that depend on the network's input are added, and every module of the class
    of a unit. Raises InputError if the model does not run on `example`.

    >>> import torch
    >>> from robustprune.models.resnet import CifarResNet
    >>> survey(CifarResNet(14, "B"), torch.rand(1, 3, 32, 32)).units[2].reason
    'the skip path has a convolution (layer2.0.shortcut.0), its input 16x32x32 and output 32x16x16 differ'
    """
    recorded = recorded_run(model, example)
    units = residual_units(model, recorded, unit)
    blocks = {block.name: block for block in described(model, units)}
    names = {module: name for name, module in model.named_modules()}
    owners = _owners(recorded)
    rows = []
    for name, calls in calls_by_name(model, recorded).items():
        near = calls[0].module in owners or type(calls[0].module) in _kinds(model, blocks, owners)
        hidden = any(name.startswith(f"{block}.") or f"{block}.".startswith(f"{name}.") for block in blocks)
        if name in blocks or (near and not hidden and _has_weights(calls[0].module)):
            reason = "" if name in blocks else why_not(recorded, name, calls, names)
            rows.append(_row(name, calls[0], blocks.get(name), reason))
    remark = "" if blocks else _remark(model, recorded, rows)
    return Survey(units=tuple(rows), remark=remark)


def _row(name: str, call: Call, block: Block | None, reason: str) -> Surveyed:
    key = call.first if block is None or block.argument is None else block.argument
    x = call.inputs.get(key) if key is not None else None
    outputs = [shape_text(value) for value in call.results if isinstance(value, Value)]
    return Surveyed(
        name=name,
        kind=type(call.module).__name__,
        input=shape_text(x) if x is not None else "-",
        output=", ".join(outputs) or "-",
        block=block,
        reason=reason,
    )


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _kinds(model: nn.Module, blocks: dict[str, Block], owners: set[nn.Module]) -> set[type[nn.Module]]:
    """Classes of units, but for torch's own containers; a branch may be of any class."""
    modules = [*(model.get_submodule(name) for name, block in blocks.items() if block.branch is None), *owners]
    return {type(module) for module in modules} - {nn.Sequential, nn.ModuleList, type(model)}


def _owners(recorded: Trace) -> set[nn.Module]:
    """The modules that give out the sum of two different values which they compute from one argument.

    Of modules in one another the innermost: it sees the whole unit, where those inside it only see one summand each.
    """
    depends = set(recorded.calls[0].inputs.values()) if recorded.calls else set()
    owners: set[nn.Module] = set()
    reached: dict[tuple[int, Key], set[Value]] = {}
    for index, operation in enumerate(recorded.operations):
        if joins(operation, depends):
            around = [(number, call) for number, call in enumerate(recorded.calls) if call.contains(index)]
            owners.update([call.module for number, call in around if _sees(recorded, number, operation, reached)][-1:])
        if not depends.isdisjoint(operation.inputs):
            depends.update(operation.outputs)
    return owners


def _sees(recorded: Trace, number: int, operation: Operation, reached: dict[tuple[int, Key], set[Value]]) -> bool:
    """Whether both summands depend on one argument of call `number`; `reached` remembers what depends on which."""
    call = recorded.calls[number]
    for key, x in call.inputs.items():
        if (number, key) not in reached:
            reached[number, key] = dependents(recorded.operations[call.start : call.end], x)
    return any(joins(operation, reached[number, key]) for key in call.inputs)


def _remark(model: nn.Module, recorded: Trace, rows: list[Surveyed]) -> str:
    """Why no unit of a network can go."""
    kind = type(model).__name__
    if rows:
        return f"none of {len(rows)} units of {kind} can go; {rows[0].name}: {rows[0].reason}"
    if not recorded.calls or recorded.calls[0].module in _owners(recorded):
        traced = "GraphModule" in kind or "ScriptModule" in kind or hasattr(model, "graph")
        hint = (
            "a traced graph has no blocks, give the network that it was traced from" if traced else "no module holds it"
        )
        return f"the additions of {kind} are written in its own forward: {hint}"
    return f"no module of {kind} adds what it computes to what it was given: there is no skip path"
