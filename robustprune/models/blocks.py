"""The blocks of any network: the units that can go because a skip path can stand in for them.

Nothing here knows a class of network. One forward is recorded (trace.py), and a module is a block if in every
call its output has the shape of one of its arguments and lies on a skip path from it (paths.py), with an addition of
its own and inside no other such module (units.py). So found are: He's blocks with an identity shortcut, inverted
residuals, ConvNeXt, Swin and pre-norm Transformer blocks, and whatever else is built that way. Not found: units that
return more than one tensor, and additions written in the parent's own forward, since there is no module to take out;
survey.py says so for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from robustprune.errors import InputError
from robustprune.models.activations import Activation
from robustprune.models.branches import residual_units
from robustprune.models.probe import Example, call_of, probe_input, shape_of
from robustprune.models.skip import Blanks, Key, Place, Skip, Zeros, make_skip
from robustprune.models.trace import Trace, trace
from robustprune.models.units import Branch, Unit, UnitSize


@dataclass(frozen=True, kw_only=True)
class Block:
    """A unit that can be removed.

    `name` is its dotted path, `container` its parent's, `position` its index among the parent's children;
    `shape` is that of its input and output, without the batch. `stage` numbers the runs of consecutive blocks
    of one shape: in the papers' words, the feature maps of one size. `first` says that the block opens its
    stage: it is the first in it, and no sibling of its class that changes the shape (a projection block)
    comes before it. `activations` stand on the skip path and change its input. `argument` goes along it (None: the
    first), and comes out at `place` (None: alone). `in_sequential`: an nn.Sequential runs it, so that the block can be
    deleted; elsewhere a stand-in must take its place. `branch` says what is replaced by zeros where it is added outside
    it, and `idle` are modules that have nothing to do without it.
    """

    name: str
    container: str
    stage: int
    position: int
    shape: tuple[int, ...]
    first: bool = False
    activations: tuple[Activation, ...] = ()
    argument: Key | None = None
    place: Place | None = None
    in_sequential: bool = False
    branch: Branch | None = None
    idle: tuple[tuple[str, Blanks], ...] = ()

    @property
    def plain(self) -> bool:
        """Whether what is handed on is the first argument itself, alone."""
        return not self.activations and self.argument is None and self.place is None and self.branch is None

    def stand_in(self) -> Skip:
        """What takes its place when it is gone."""
        if self.branch is not None:
            return Zeros(self.branch.zeros)
        return make_skip(self.activations, self.argument, self.place)

    @property
    def at(self) -> str:
        """The name of the module that it takes the place of: the block, or what ends the branch."""
        return self.name if self.branch is None else self.branch.at


def find_blocks(model: nn.Module, example: Example, unit: UnitSize = "outermost") -> list[Block]:
    """The removable blocks of `model`, in order of execution; empty if there are none.

    `example` is a batch of the model's input, (N, ...), or all its arguments in a tuple, or by name in a dict; the
    first two samples are run once, in eval mode. Use real ones: an activation on a skip path counts as the identity
    where it changes nothing on the input seen. `unit`: where units lie in one another, the outermost are blocks, or the
    "smallest"; or each "branch" that is added on a block's skip path.
    Raises InputError if the model does not run on it. The model stays as it is.

    >>> from robustprune.models.resnet import CifarResNet
    >>> import torch
    >>> [block.name for block in find_blocks(CifarResNet(14), torch.rand(2, 3, 32, 32))]
    ['layer1.0', 'layer1.1', 'layer2.1', 'layer3.1']
    """
    return described(model, residual_units(model, recorded_run(model, example), unit))


def described(model: nn.Module, units: Mapping[str, Unit]) -> list[Block]:
    """The blocks that units are, with their stages."""
    blocks: list[Block] = []
    for name, unit in units.items():
        blocks.append(_describe(model, name, unit, blocks[-1] if blocks else None))
    return blocks


def resolve(model: nn.Module, names: Iterable[str | Block], example: Example | None = None) -> list[Block]:
    """The Blocks for names (Blocks stay as they are), in the given order; units of any size have their names.

    Looking names up takes one forward of `example`; without one, noise of a fitting shape is tried. Raises InputError
    for names that do not exist, are no removable block (with close names), come twice, or lie in one another.
    """
    wanted = list(names)
    if len({_name(entry) for entry in wanted}) < len(wanted):
        raise InputError(f"blocks {[_name(entry) for entry in wanted]}: a name comes twice; expected each once")
    for entry in wanted:
        module_named(model, _name(entry))
        outer = [other for other in map(_name, wanted) if _name(entry).startswith(f"{other}.")]
        if outer:
            raise InputError(f"blocks: {_name(entry)} lies in {outer[0]}, which goes too; expected one of the two")
    if all(isinstance(entry, Block) for entry in wanted):
        return [entry for entry in wanted if isinstance(entry, Block)]
    found = _of_any_size(model, probe_input(model) if example is None else example)
    for entry in wanted:
        if isinstance(entry, str) and entry not in found:
            raise InputError(f"{entry} is no removable block; {_close(entry, found)}")
    return [entry if isinstance(entry, Block) else found[entry] for entry in wanted]


def module_named(model: nn.Module, name: str) -> nn.Module:
    """The module of that dotted name. Raises InputError with close names if there is none."""
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if not name or name not in modules:
        raise InputError(f"{type(model).__name__} has no module {name!r}; {_close(name, modules)}")
    return modules[name]


def _of_any_size(model: nn.Module, example: Example) -> dict[str, Block]:
    recorded = recorded_run(model, example)
    sizes: tuple[UnitSize, ...] = ("smallest", "branch", "outermost")
    found = [described(model, residual_units(model, recorded, size)) for size in sizes]
    return {block.name: block for blocks in found for block in blocks}


def recorded_run(model: nn.Module, example: Example) -> Trace:
    """One forward of the first two samples of `example`. Raises InputError if the model does not run on them."""
    try:
        return trace(model, *call_of(model, example))
    except InputError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[:1]
        raise InputError(
            f"{type(model).__name__} does not run on an example of shape {shape_of(example)}: "
            f"{type(error).__name__}: {''.join(reason)}; expected a batch of its input"
        ) from error


def _describe(model: nn.Module, name: str, unit: Unit, before: Block | None) -> Block:
    container, _, child = name.rpartition(".")
    siblings = model.get_submodule(container)._modules
    shape = unit.shape[1:]
    opens = before is None or before.shape != shape
    return Block(
        name=name,
        container=container,
        stage=(before.stage + opens) if before else 0,
        position=list(siblings).index(child),
        shape=shape,
        first=opens and not _follows_its_kind(list(siblings.values()), unit.calls[0].module),
        activations=unit.way.activations,
        argument=unit.way.argument,
        place=unit.way.place,
        in_sequential=all(is_sequential(call.caller) for call in unit.calls),
        branch=unit.branch,
        idle=unit.idle,
    )


def _follows_its_kind(siblings: list[nn.Module | None], module: nn.Module) -> bool:
    before = [sibling for sibling in siblings[: siblings.index(module)] if not isinstance(sibling, Skip)]
    return bool(before) and type(before[-1]) is type(module)


def is_sequential(module: nn.Module | None) -> bool:
    """True for an nn.Sequential, or a subclass, that runs its children in order and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _name(entry: str | Block) -> str:
    return entry.name if isinstance(entry, Block) else entry


def _close(name: str, names: Iterable[str]) -> str:
    known = [other for other in names if other]
    close = get_close_matches(name, known, n=4, cutoff=0.4) or known[:4]
    return f"did you mean {', '.join(close)}?" if close else "there are none"
