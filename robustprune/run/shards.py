"""A suite measured in shards, by jobs that share nothing, and put together again.

A shard is some of the cases, with the parents that they are compared with. It is kept as a result of its own: the
cases, and beside them a stamp that says of what suite, code and libraries it is. Nobody's store is read when shards are
put together, so it does not matter whose machines they come from; what they hold is what their makers say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from robustprune import results
from robustprune.errors import InputError
from robustprune.files import write_all
from robustprune.names import PREFIX
from robustprune.results.records import CaseResult
from robustprune.run.code import module_digest
from robustprune.run.keys import Unseen, describe
from robustprune.suite.cases import Case, Suite
from robustprune.typed import Count, Line, built

CASES, STAMP = "cases.json.gz", "shard.json"

SAME = ("commit", "robustprune", "torch", "torchvision", "torchattacks", "numpy", "device")
"""What has to be the same where shards were measured."""

ALIKE = ("processor", "device_name")
"""What should be: networks that are trained differ between processors, and so do times."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Number `number`, from 1, of `of` shards."""

    number: Count
    of: Count

    def __str__(self) -> str:
        """As in a sentence."""
        return f"shard {self.number} of {self.of}"


@dataclass(frozen=True, kw_only=True)
class Stamp(Shard):
    """What a shard was made of."""

    suite: Line
    content: str


def parsed(text: str) -> Shard:
    """Read a shard as it is given on the command line.

    >>> str(parsed("3/8"))
    'shard 3 of 8'
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise InputError(f"--shard {text!r}: expected NUMBER/COUNT, such as 3/8, counted from 1")
    return Shard(number=int(found[1]), of=int(found[2]))


def share(cases: Sequence[Case], shard: Shard) -> list[Case]:
    """Return the cases of a shard, in their order, and the parents that they are compared with.

    Cases with the same parent stand together, and the line of all is cut into parts that differ by one case at most.
    So each case is in one shard, a parent in every one that needs it, and few need the same. InputError where there
    are fewer cases than shards.
    """
    parents = {case.parent_case.id for case in cases if case.parent_case is not None}
    families: dict[str, list[Case]] = {(case.parent_case or case).id: [] for case in cases}
    for case in cases:
        if case.id not in parents:
            families[(case.parent_case or case).id].append(case)
    line = [case for family in families.values() for case in family]
    if shard.of > len(line):
        raise InputError(f"--shard {shard.number}/{shard.of}: there are {len(line)} cases to share, and no more shards")
    mine = line[(shard.number - 1) * len(line) // shard.of : shard.number * len(line) // shard.of]
    wanted = {case.id for case in mine} | {case.parent_case.id for case in mine if case.parent_case is not None}
    return [case for case in cases if case.id in wanted]


def content(suite: Suite) -> str:
    """Name what a suite says and the code that measures it, wherever its file lies; "" where some cannot be seen."""
    try:
        said = json.dumps(describe([module_digest("robustprune.run.suite"), replace(suite, file=None)]), sort_keys=True)
    except Unseen:
        return ""
    return hashlib.sha256(re.sub(f"{PREFIX}[0-9a-f]{{8}}", PREFIX, said).encode()).hexdigest()[:32]


def keep_shard(cases: Sequence[CaseResult], suite: Suite, shard: Shard, folder: Path) -> None:
    """Write the results of a shard with their stamp."""
    stamp = Stamp(number=shard.number, of=shard.of, suite=suite.name, content=content(suite))
    write_all(folder, {CASES: results.packed(cases), STAMP: json.dumps(asdict(stamp)).encode()})


def merged(suite: Suite, folders: Sequence[Path]) -> tuple[list[CaseResult], list[str]]:
    """Return every case of a suite from the shards in some folders, and lines that say whose they are.

    InputError where they do not belong together: another suite, other code or libraries, the same case with other
    outcomes, cases that nobody measured.
    """
    found: dict[str, tuple[Path, CaseResult]] = {}
    shards, lines = [], []
    for folder in folders:
        stamp, cases = _read(folder, suite)
        shards.append(f"{stamp.number}/{stamp.of}")
        here = cases[0].environment
        lines.append(f"{folder}: {stamp}, {len(cases)} cases, commit {here.get('commit')}, {here.get('processor')}")
        for case in cases:
            there, before = found.setdefault(case.case, (folder, case))
            if _outcomes(before) != _outcomes(case):
                raise InputError(f"{folder}: {case.case} has other outcomes than in {there}; measure one of them anew")
    missing = [case.id for case in suite.cases if case.id not in found]
    if missing:
        given = ", ".join(shards)
        raise InputError(
            f"{suite.name}: {len(missing)} cases are missing, first {missing[0]}; given are shards {given}"
        )
    return [found[case.id][1] for case in suite.cases], [*lines, *_differences([*found.values()])]


def _read(folder: Path, suite: Suite) -> tuple[Stamp, list[CaseResult]]:
    """A shard in a folder. InputError where there is none, or it is not of this suite."""
    try:
        record: Any = json.loads((folder / STAMP).read_bytes())
    except (OSError, ValueError, RecursionError):
        raise InputError(
            f"{folder}: no shard; expected a folder that `run --shard` has written, with {STAMP}"
        ) from None
    stamp = built(Stamp, record, str(folder / STAMP))
    if stamp.suite != suite.name:
        raise InputError(f"{folder}: a shard of the suite {stamp.suite!r}, expected {suite.name!r}")
    if stamp.content != content(suite):
        raise InputError(
            f"{folder}: measured when {suite.name!r}, the program or a library was another; measure it anew"
        )
    cases = results.load(folder / CASES)
    known = {case.id for case in suite.cases}
    foreign = [case.case for case in cases if case.case not in known or case.suite != suite.name]
    if foreign or not cases:
        raise InputError(f"{folder}: {foreign[0] if foreign else 'nothing'} is in it, expected cases of {suite.name!r}")
    return stamp, cases


def _outcomes(case: CaseResult) -> list[Any]:
    """What has to be the same where two have measured one case: all but times and places."""
    attacks = [(one.attack, one.threat, repr(one.settings), one.status, repr(one.distance)) for one in case.outcomes]
    return [case.sample_hash, case.weights_hash, case.removed, case.labels, case.clean, attacks]


def _differences(found: Sequence[tuple[Path, CaseResult]]) -> Iterator[str]:
    """Warnings about machines that differ. InputError where they differ in what decides on outcomes."""
    first, one = found[0]
    for folder, case in found:
        if case.sample_hash != one.sample_hash:
            raise InputError(f"{folder}: {case.case} was attacked on other samples than {one.case} in {first}")
        here, there = _facts(case.environment, SAME), _facts(one.environment, SAME)
        for name in SAME:
            if here[name] != there[name]:
                raise InputError(f"{folder}: {name} is {here[name]}, {there[name]} in {first}")
    for name in ALIKE:
        values = sorted({str(case.environment.get(name)) for _, case in found})
        if len(values) > 1:
            yield f"warning: {name} differs between shards: {', '.join(values)}; times are not comparable"


def _facts(environment: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: environment.get(name) for name in names}
