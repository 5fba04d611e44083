"""What the names of files and folders say: which are to learn from, which to measure on, which belong together.

Nothing is guessed: where two parts are there, images of one never reach the other, and a set of names that can be read
in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from robustprune.errors import InputError

WORDS = {
    "train": ("train", "training", "trainset", "trainval"),
    "test": ("test", "testing", "tests", "testset"),
    "eval": ("eval", "evaluation"),
    "holdout": ("holdout", "heldout"),
    "val": ("val", "valid", "validation", "valset"),
    "dev": ("dev", "devel", "development"),
}
"""Part -> words that name it. The first is learned from; of the others the first that is there is measured on."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_SHARD = re.compile(r"^(?P<stem>.*?)[-_. ]?(?P<number>\d+)[-_. ]of[-_. ](?P<count>\d+)(?:[-_. ][0-9a-f]+)?$")
_NUMBER = re.compile(r"[-_. ]*\d+$")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Names sorted into parts; with nothing to learn from apart, `test` is a single set that is to be split."""

    train: tuple[str, ...] = ()
    test: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def part_of(name: str) -> str:
    """Return the part that a name speaks of, a key of WORDS; "" for none. Raises InputError for two.

    >>> part_of("cifar10-Train-00000-of-00002"), part_of("x_val2017"), part_of("trainTickets"), part_of("contest")
    ('train', 'val', 'train', '')
    """
    spoken = _words(name)
    found = [part for part, words in WORDS.items() if spoken & {*words}]
    if len(found) > 1:
        raise InputError(f"the name {name!r} speaks of two parts, {' and '.join(found)}: expected one")
    return found[0] if found else ""


def parts_of(names: Sequence[str]) -> Parts:
    """Sort the names (without endings) of files or folders that lie together.

    Raises InputError where they do not say what is to be learned from and what to be measured on, where shards are
    missing, and where a part is made of several sets.

    >>> parts_of(["a-train-0", "a-train-1", "a-test", "a-val"])
    Parts(train=('a-train-0', 'a-train-1'), test=('a-test',), left_out=('a-val',))
    """
    if len(names) == 1:
        return Parts(test=_together(names))
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(part_of(name), []).append(name)
    if len(found) == 1:
        return Parts(test=_together(names))
    measured = [part for part in [*WORDS][1:] if part in found]
    if "train" not in found or not measured:
        raise InputError(
            f"the names {_listed(names)} do not tell what to learn from and what to measure on: "
            "expected one that speaks of train and one of test (or val, dev, eval), or give one of them alone"
        )
    chosen = ("train", measured[0])
    return Parts(
        train=_together(found["train"]),
        test=_together(found[measured[0]]),
        left_out=tuple(name for name in names if part_of(name) not in chosen),
    )


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _together(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of one part; InputError where they are not one set, or not all of its shards."""
    sets: dict[tuple[str, int], list[str]] = {}
    for name in names:
        shard = _SHARD.match(name)
        found = (shard["stem"], int(shard["count"])) if shard else (_NUMBER.sub("", name), 0)
        sets.setdefault(found, []).append(name)
    if len(sets) > 1:
        raise InputError(
            f"the names {_listed([one[0] for one in sets.values()])} are those of several sets: "
            "expected one for each part, or give one of them alone"
        )
    for _, count in sets:
        if count and len(names) != count:
            raise InputError(f"{names[0]!r} is one of {count} shards, but there are {len(names)} here")
    return tuple(names)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
