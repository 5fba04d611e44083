"""Names of classes: legible, and the same number in every file of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustprune.data.base import Data, Split, sizes
from robustprune.data.naming import legible
from robustprune.errors import InputError

Names = tuple[str, ...]


def class_names(names: Iterable[object]) -> Names:
    r"""Return names as legible text.

    >>> class_names(["cat", b"dog", "caf\udce9", 3])
    ('cat', 'dog', 'caf\\udce9', '3')
    """
    return tuple(legible(one.decode(errors="surrogateescape") if isinstance(one, bytes) else str(one)) for one in names)


def agreed(every: Iterable[Names]) -> Names:
    """Return the first names that there are, by which the labels of all files are numbered; () where there are none.

    >>> agreed([(), ("cat", "dog"), ("dog", "cat")])
    ('cat', 'dog')
    """
    return next((names for names in every if names), ())


def renumbered(labels: NDArray[np.int64], own: Names, names: Names, where: str | Path) -> NDArray[np.int64]:
    """Return labels that count in a file's `own` names as they count in `names`; a file without names keeps its own.

    Raises InputError where a name is unknown, or is there twice, so that the order cannot be told.

    >>> renumbered(np.array([0, 0, 1]), ("dog", "cat"), ("cat", "dog"), "here").tolist()
    [1, 1, 0]
    """
    if not own or own == names:
        return labels
    unknown = sorted({*own} - {*names})
    if unknown:
        raise InputError(f"{where}: classes {_some(unknown)} are not among those of the first file: {_some(names)}")
    if len({*own}) < len(own) or len({*names}) < len(names):
        raise InputError(f"{where}: classes in another order, with a name there twice: {_some(own)}; expected one each")
    if labels.size and int(labels.max()) >= len(own):
        raise InputError(f"{where}: label {labels.max()}, expected 0 to {len(own) - 1}, one of {_some(own)}")
    return np.array([names.index(name) for name in own], dtype=np.int64)[labels]


def assembled(kind: str, place: Path, names: Names, train: Split, test: Split, left_out: Sequence[str] = ()) -> Data:
    """Put a data set read from `place` together; without `names` its classes are called by their numbers.

    Raises InputError where all samples are of one class: no image could be misclassified.
    """
    top = max(int(train.y.max()), int(test.y.max()))
    if top == min(int(train.y.min()), int(test.y.min())):
        raise InputError(f"{place}: all labels are {top}, expected two classes or more")
    source = f"{kind}{legible(place.name)}: {sizes(train, test)}"
    source += f" ({legible(', '.join(left_out))} left out)" if left_out else ""
    return Data(legible(place.stem), names or class_names(range(1 + top)), train, test, source)


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:8])}, ..." if len(names) > 8 else ", ".join(names)
