"""The units of a network as rows, with what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor, nn

from robustprune.cost.counts import count_macs, count_params
from robustprune.models import Survey, evaluating
from robustprune.models.survey import Surveyed
from robustprune.prune import most_removable, other_settings


@dataclass(frozen=True, kw_only=True)
class Row:
    """One unit as it is shown; `macs` of one input, `stage` None where its shape is no stage's."""

    name: str
    kind: str
    input: str
    output: str
    macs: int
    parameters: int
    stage: int | None
    first: bool
    removable: bool
    reason: str


def rows_of(net: nn.Module, images: Tensor, found: Survey) -> list[Row]:
    """The units of a network as rows; `images` is a batch of its input."""
    parts = {unit.name: _parts(unit) for unit in found.units}
    macs = _macs(net, images, sorted(set().union(*parts.values())))
    stages = {"x".join(map(str, block.shape)): block.stage for block in found.blocks}
    return [
        Row(
            name=unit.name,
            kind=unit.kind,
            input=unit.input,
            output=unit.output,
            macs=sum(macs[part] for part in parts[unit.name]),
            parameters=sum(count_params(net.get_submodule(part)) for part in parts[unit.name]),
            stage=unit.block.stage if unit.block is not None else stages.get(unit.output),
            first=unit.block is not None and unit.block.first,
            removable=unit.block is not None,
            reason=unit.reason,
        )
        for unit in found.units
    ]


def _parts(unit: Surveyed) -> set[str]:
    """The modules that go with a unit: of a branch, all that have nothing to do without it."""
    if unit.block is None:
        return {unit.name}
    return {unit.name, unit.block.at, *(name for name, _ in unit.block.idle)}


class _Called(nn.Module):
    """A module with the arguments of one of its calls."""

    def __init__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.module, self.args, self.kwargs = module, args, kwargs

    def forward(self, x: Tensor) -> Any:
        """What the call returns; `x` only says that it is for one input."""
        return self.module(*self.args, **self.kwargs)


def _macs(net: nn.Module, images: Tensor, names: list[str]) -> dict[str, int]:
    """The MACs of each of these modules for one input, in all its calls."""
    calls: list[tuple[str, _Called]] = []
    handles = [
        net.get_submodule(name).register_forward_pre_hook(
            lambda module, args, kwargs, name=name: calls.append((name, _Called(module, args, kwargs))),
            with_kwargs=True,
        )
        for name in names
    ]
    with evaluating(net), torch.no_grad():
        net(images[:1])
    for handle in handles:
        handle.remove()
    found = dict.fromkeys(names, 0)
    for name, called in calls:
        found[name] += count_macs(called, images[:1])
    return found


def as_table(rows: list[Row], found: Survey) -> str:
    """The rows as plain text, and below them how many blocks can go."""
    head = ("unit", "class", "MACs", "parameters", "stage", "removable", "why not")
    lines = [
        (
            row.name,
            row.kind,
            f"{row.macs:,}",
            f"{row.parameters:,}",
            "" if row.stage is None else row.stage,
            ("yes, first of its stage" if row.first else "yes") if row.removable else "no",
            row.reason,
        )
        for row in rows
    ]
    aligned = ("left", "left", "right", "right", "right", "left", "left")
    table = (
        [tabulate(lines, headers=head, tablefmt="plain", colalign=aligned, disable_numparse=True), ""] if lines else []
    )
    return "\n".join([*table, _conclusion(found)])


def _conclusion(found: Survey) -> str:
    """How many can go, and with which settings of a strategy."""
    if not found.blocks:
        return f"0 removable blocks: {found.remark}"
    return (
        f"{len(found.blocks)} removable blocks, of which a strategy may take {most_removable(found.blocks)} with "
        f"keep_per_stage=1, protect_first=True; {other_settings(found.blocks)}"
    )


def as_plain(rows: list[Row], found: Survey) -> dict[str, Any]:
    """The rows as plain data, for JSON."""
    return {"units": [vars(row) for row in rows], "removable": len(found.blocks), "remark": found.remark}
