"""What a network is made of, as plain data, and what changed between two of them.

Two networks are compared by the names of their modules. Pruning keeps names, so a block that went is a name
that is gone; a stand-in without weights in its place counts as gone too. Where one network only wraps the
other (a normalisation or a head around it), the names inside are compared without the wrapper's prefix. A
network that was built with other names is described by its counts: how many layers and residual blocks of
which kind before and now.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.models import find_blocks
from robustprune.review.changes import Changes, Layer

STAND_INS = ("Identity", "Skip", "Zeros")
"""Classes of what stands in for a module that is gone; zeros stand in for one whose work nobody uses any more."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """A network without its numbers. `kinds`: module name -> class name ("" is the network itself).

    `leaves` are the names of modules that hold no other; `sizes`: module name -> parameters in it;
    `tensors`: name of a parameter or floating-point buffer -> its shape and a hash of its content;
    `blocks`: names of the residual blocks, those with a projection included.
    """

    kinds: Mapping[str, str]
    leaves: frozenset[str]
    sizes: Mapping[str, int]
    tensors: Mapping[str, tuple[tuple[int, ...], str]]
    blocks: tuple[str, ...]


def anatomy(net: nn.Module, example: Tensor) -> Anatomy:
    """Look at a network; `example`, (1, C, H, W), is run through it once to find its residual blocks.

    A block with a projection cannot be removed but is a residual block: it is one of the kind of those that
    can.
    """
    modules = dict(net.named_modules())
    kinds = {name: type(module).__name__ for name, module in modules.items()}
    removable = {kinds[block.name] for block in find_blocks(net, example)}
    return Anatomy(
        kinds=kinds,
        leaves=frozenset(name for name, module in modules.items() if not any(True for _ in module.children())),
        sizes={name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()},
        tensors={
            name: (tuple(tensor.shape), _hash(tensor))
            for name, tensor in net.state_dict().items()
            if tensor.is_floating_point()
        },
        blocks=tuple(name for name, kind in kinds.items() if name and kind in removable),
    )


def compare(before: Anatomy, after: Anatomy) -> Changes:
    """Say what changed from one network to the other.

    >>> from robustprune.models import CifarResNet
    >>> import torch
    >>> x = torch.rand(1, 3, 32, 32)
    >>> changes = compare(anatomy(CifarResNet(56), x), anatomy(CifarResNet(20), x))
    >>> changes.blocks, changes.counts["Conv2d"], changes.gone[0].name
    ((27, 9), (55, 19), 'layer1.3')
    """
    outer, inner = _wrappers(before, after)
    old, new = inside(before, inner), inside(after, outer)
    missing = [name for name, kind in old.kinds.items() if _absent(name, kind, old, new)]
    extra = [name for name in new.kinds if name not in old.kinds and not _below(name, missing)]
    shared = old.tensors.keys() & new.tensors.keys()
    return Changes(
        gone=(*_largest(missing, old), *_around(before, inner)),
        added=(*_largest(extra, new), *_around(after, outer)),
        altered=tuple(_altered(old, new, skip=missing)),
        counts=_counts(before, after),
        blocks=(len(before.blocks), _blocks_like(before, after)),
        same_weights=sum(old.tensors[name] == new.tensors[name] for name in shared),
        shared_weights=len(shared),
        wrapper=_wrapper_text(outer, inner, before, after),
    )


def inside(whole: Anatomy, prefix: str) -> Anatomy:
    """Return the part of a network below a module, named as if it stood alone."""
    if not prefix:
        return whole
    cut = len(prefix) + 1

    def below(names: Iterable[str]) -> list[str]:
        return [name for name in names if name == prefix or name.startswith(f"{prefix}.")]

    return Anatomy(
        kinds={name[cut:]: whole.kinds[name] for name in below(whole.kinds)},
        leaves=frozenset(name[cut:] for name in below(whole.leaves)),
        sizes={name[cut:]: whole.sizes[name] for name in below(whole.sizes)},
        tensors={name[cut:]: whole.tensors[name] for name in below(whole.tensors)},
        blocks=tuple(name[cut:] for name in below(whole.blocks)),
    )


def _wrappers(before: Anatomy, after: Anatomy) -> tuple[str, str]:
    """Find the module of `after` that holds `before`'s layers, and the reverse; "" where names fit as they are."""

    def fit(old: Anatomy, new: Anatomy) -> int:
        return len(old.tensors.keys() & new.tensors.keys())

    plain = fit(before, after)
    shallow = [name for name in after.kinds if name and name.count(".") < 2 and name not in after.leaves]
    outer = max(shallow, key=lambda name: fit(before, inside(after, name)), default="")
    shallow = [name for name in before.kinds if name and name.count(".") < 2 and name not in before.leaves]
    inner = max(shallow, key=lambda name: fit(inside(before, name), after), default="")
    gains = fit(before, inside(after, outer)), fit(inside(before, inner), after)
    if max(gains) <= plain:
        return "", ""
    return (outer, "") if gains[0] >= gains[1] else ("", inner)


def _wrapper_text(outer: str, inner: str, before: Anatomy, after: Anatomy) -> str:
    if outer:
        return f"the candidate is a {after.kinds['']} that holds the parent's layers in its {outer!r}"
    if inner:
        return f"the parent is a {before.kinds['']} that holds the candidate's layers in its {inner!r}"
    return ""


def _around(whole: Anatomy, prefix: str) -> tuple[Layer, ...]:
    """List the modules of a wrapper beside the one that it wraps."""
    if not prefix:
        return ()
    others = [name for name in whole.kinds if name and not _below(name, [prefix]) and not prefix.startswith(f"{name}.")]
    return _largest(others, whole)


def _absent(name: str, kind: str, old: Anatomy, new: Anatomy) -> bool:
    if name not in new.kinds:
        return True
    idle = new.kinds[name] == "Zeros"
    return kind != new.kinds[name] in STAND_INS and (idle or new.sizes[name] == 0 < old.sizes[name])


def _largest(names: list[str], whole: Anatomy) -> tuple[Layer, ...]:
    """List the named modules that lie in none of the others."""
    return tuple(
        Layer(name=name, kind=whole.kinds[name], params=whole.sizes[name])
        for name in names
        if not _below(name, [other for other in names if other != name])
    )


def _below(name: str, names: list[str]) -> bool:
    known = set(names)
    parts = name.split(".")
    return any(".".join(parts[:depth]) in known for depth in range(1, len(parts) + 1))


def _altered(old: Anatomy, new: Anatomy, skip: list[str]) -> Iterable[str]:
    for name, kind in old.kinds.items():
        if name not in new.kinds or _below(name, skip):
            continue
        if kind != new.kinds[name]:
            yield f"{name or 'the network'}: class {kind} -> {new.kinds[name]}"
    seen = set()
    for name, (shape, _) in old.tensors.items():
        layer = name.rpartition(".")[0]
        if name in new.tensors and new.tensors[name][0] != shape and layer not in seen:
            seen.add(layer)
            yield f"{name}: {shape} -> {new.tensors[name][0]}"


def _counts(before: Anatomy, after: Anatomy) -> dict[str, tuple[int, int]]:
    """Count layers with weights, and residual blocks, by kind."""
    old, new = _tally(before), _tally(after)
    return {kind: (old[kind], new[kind]) for kind in dict.fromkeys([*old, *new])}


def _tally(whole: Anatomy) -> Counter[str]:
    leaves = [name for name in whole.kinds if name in whole.leaves and whole.sizes[name] > 0]
    return Counter(whole.kinds[name] for name in [*whole.blocks, *leaves])


def _blocks_like(before: Anatomy, after: Anatomy) -> int:
    """Count residual blocks of `after`; where none can be removed any more, those of `before`'s kinds."""
    kinds = {before.kinds[name] for name in before.blocks}
    alike = [name for name, kind in after.kinds.items() if name and kind in kinds]
    return max(len(after.blocks), len(alike))


def _hash(tensor: Tensor) -> str:
    content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(content.numpy().tobytes()).hexdigest()[:16]
