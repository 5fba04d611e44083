"""Names of weights in files and in networks, which differ by what stands before all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from torch import Tensor

OPTIONAL = "num_batches_tracked"
"""BatchNorm's counter: files from before PyTorch 0.4.1 lack it, and no prediction depends on it."""


def fitting(weights: dict[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names that the model has for them; under the file's own where none fit better."""
    best, fewest = weights, len(unlike(weights, present))
    for off in _prefixes(weights):
        for on in _prefixes(present):
            renamed = {on + name.removeprefix(off): tensor for name, tensor in weights.items()}
            left = len(unlike(renamed, present))
            if left < fewest:
                best, fewest = renamed, left
    return best


def unlike(weights: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> set[str]:
    """The names that only one of the two has, but for what files may lack."""
    return {name for name in weights.keys() ^ present.keys() if name in weights or not name.endswith(OPTIONAL)}


def _prefixes(names: Iterable[str]) -> list[str]:
    """What stands before all names, up to each dot.

    >>> _prefixes(["module.net.a.weight", "module.net.b.weight"])
    ['', 'module.', 'module.net.']
    """
    parts = [name.split(".")[:-1] for name in names]
    common = list(itertools.takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False)))
    return ["".join(f"{level[0]}." for level in common[:count]) for count in range(len(common) + 1)]
