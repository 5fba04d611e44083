"""Is a bundle what it was when it was written, and does its verdict follow from its outcomes? No torch.

Every file must have the hash of the manifest. Whatever follows from the outcomes is computed again and compared, the
texts for people byte for byte (rederived.py): so a change is seen even where somebody mended the manifest after it.
What was measured, and pictures, follow from nothing; there the seal shows a change, to the user who made the bundle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from robustprune import __version__, results
from robustprune.errors import InputError
from robustprune.results.records import CaseResult, Outcomes, outcomes_from
from robustprune.review import record
from robustprune.review.audit import signature
from robustprune.review.files import (
    CASES,
    LAST,
    MANIFEST,
    SAMPLES,
    SCHEMA,
    SEAL,
    SHORT,
    TRANSFER,
    VERDICT,
    as_json,
    below,
    kind,
    plain,
    read,
    sha256,
    there,
)
from robustprune.review.rederived import WRONG, misshapen, rebuilt, unlike
from robustprune.review.rejudged import policy_of
from robustprune.run.own import named, secret
from robustprune.run.store import signed

TOLERANCE = 1e-9
"""Numbers computed again may differ by the rounding of another library version."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found: `problems`, one line each; what was looked at; the verdict that the bundle states."""

    problems: tuple[str, ...]
    files: int
    findings: int
    verdict: str
    seal: str
    note: str = ""
    """What can be said of the seal and of the signature."""

    @property
    def holds(self) -> bool:
        """True where nothing is wrong."""
        return not self.problems


def verify(folder: Path, weights: Path | None = None, key: Path | None = None) -> Verification:
    """Check a bundle, that `weights` is the candidate's file, and that `key` signed it. InputError where it is none."""
    if not plain(folder / MANIFEST):
        raise InputError(
            f"{folder}: not a bundle of robustprune: it has no {MANIFEST}; `robustprune review` writes one"
        )
    if not there(folder / SEAL):
        raise InputError(f"{folder}: has no {SEAL}: made by an older version, cannot be verified; review again")
    problems = list(_files(folder))
    written = read(folder / VERDICT)
    wrong = [*misshapen(written)] if isinstance(written, dict) else [f"{VERDICT}: cannot be read"]
    if not wrong:
        problems += _verdict(folder, written)
        problems += _weights(written, weights)
        problems += [] if problems else _follows(folder, written)
    else:
        problems += wrong
        written = {}
    unsigned, signed = signature.checked(folder, key, written)
    mine, line = _seal(folder)
    problems += unsigned + ([] if problems or mine else [line])
    return Verification(
        note=f"{line}; {signed}" if mine else signed,
        problems=tuple(dict.fromkeys(problems)),
        files=len(_listed(folder) or {}),
        findings=len(written.get("findings", [])),
        verdict=str(written.get("verdict", "unknown")),
        seal=sha256(folder / MANIFEST),
    )


def _files(folder: Path) -> Iterator[str]:
    """Name the files that are not what the manifest says."""
    listed = _listed(folder)
    if listed is None:
        yield f"{MANIFEST}: cannot be read as a manifest of schema {SCHEMA}"
        return
    for name, entry in listed.items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            yield f"{MANIFEST}: lists {name}, which lies outside the bundle"
        elif not plain(path):
            yield f"{name}: {'not a file but ' + kind(path) if there(path) else 'missing'}"
        elif sha256(path) != entry.get("sha256"):
            yield f"{name}: its sha256 is not the one in {MANIFEST}: it was changed after the bundle was made"
    folders = {parent.as_posix() for name in listed for parent in PurePosixPath(name).parents}
    for name, path in below(folder):
        known = name in folders and not path.is_symlink() if path.is_dir() else name in LAST
        if name not in listed and not known:
            yield f"{name}: not in {MANIFEST}; {kind(path)} that was added after the bundle was written"


def _verdict(folder: Path, written: dict[str, Any]) -> Iterator[str]:
    """Name what does not follow from the outcomes."""
    if written.get("schema") != record.SCHEMA:
        yield f"{VERDICT}: schema {written.get('schema')}, this version reads {record.SCHEMA}"
        return
    try:
        policy = policy_of(written["policy"])
        candidate, parent, transfers = _measured(folder, written)
        again = record.derived(candidate, parent, policy, transfers)
    except WRONG as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield f"{VERDICT}: the verdict cannot be computed again ({reason})"
        return
    yield from _differences(written, again)
    yield from _samples(folder, written, candidate)


def _measured(folder: Path, written: dict[str, Any]) -> tuple[CaseResult, CaseResult, list[Outcomes]]:
    """Return what was measured of candidate and parent, and the attacks that were transferred."""
    if not plain(folder / CASES):
        raise InputError(f"{CASES}: not a file")
    cases = {case.case: case for case in results.load(folder / CASES)}
    candidate, parent = cases[written["candidate"]["case"]], cases[written["parent"]["case"]]
    return candidate, parent, [outcomes_from(entry) for entry in read(folder / TRANSFER)]


def _differences(written: dict[str, Any], again: dict[str, Any]) -> Iterator[str]:
    """Name every part of the verdict that comes out otherwise."""
    if written.get("verdict") != again["verdict"]:
        yield f"verdict: says {written.get('verdict')}, the outcomes give {again['verdict']}"
    for part, key in (
        ("findings", "measure"),
        ("shifts", "claim"),
        ("worst_class", "claim"),
        ("transfer", "attack"),
    ):
        said, found = _by(written.get(part), key), _by(again[part], key)
        for name in dict.fromkeys([*said, *found]):
            if not _same(said.get(name), found.get(name), texts=written.get("robustprune") == __version__):
                yield f"{part}, {name}: {_shown(said.get(name))}; the outcomes give {_shown(found.get(name))}"
    for key in ("needed_n", "exit_code"):
        if written.get(key) != again[key]:
            yield f"{key}: says {written.get(key)}, the outcomes give {again[key]}"


def _samples(folder: Path, written: dict[str, Any], candidate: CaseResult) -> Iterator[str]:
    """Say so where the list of samples is not that of the outcomes."""
    listed = read(folder / SAMPLES)
    try:
        labels = [entry["label"] for entry in listed["samples"]]
        hashes = {listed["sample_hash"], written["data"]["sample_hash"], candidate.sample_hash}
    except (KeyError, TypeError):
        yield f"{SAMPLES}: cannot be read"
        return
    if labels != candidate.labels or len(hashes) > 1:
        yield f"{SAMPLES}: not the samples of {CASES}"


def _weights(written: dict[str, Any], weights: Path | None) -> Iterator[str]:
    if weights is None:
        return
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; expected the candidate's weights")
    known = written.get("candidate", {}).get("sha256")
    if sha256(weights) != known:
        found = f"its sha256 is {sha256(weights)}, the bundle says {known}"
        yield f"{weights}: not the candidate that was reviewed: {found}"


def _follows(folder: Path, written: dict[str, Any]) -> list[str]:
    """Name what does not follow from the outcomes byte for byte; only where this version wrote it."""
    if written.get("robustprune") != __version__:
        return []
    try:
        candidate, parent, transfers = _measured(folder, written)
        hashes = [entry["hash"] for entry in read(folder / SAMPLES)["samples"]]
        review = rebuilt(written, candidate, parent, transfers, hashes)
        return list(unlike(folder, written, review))
    except WRONG as error:
        return [f"{VERDICT}: cannot be made again ({type(error).__name__}: {' '.join(str(error).split())})"]


def _seal(folder: Path) -> tuple[bool, str]:
    """Return whether the manifest is as it was sealed, as far as can be said here, and a line about it."""
    said = read(folder / SEAL, SHORT)
    known = isinstance(said, dict) and said.keys() == {"key", "signature"}
    if not known or not all(isinstance(value, str) for value in said.values()):
        return False, f"{SEAL}: missing or not readable: the manifest was not sealed by the review that wrote it"
    if (folder / SEAL).read_bytes() != as_json(said):
        return False, f"{SEAL}: not as robustprune writes it"
    key = secret()
    if said["key"] != named(key):
        return True, "sealed by another user or on another machine: only there can the seal be checked"
    if said["signature"] != signed((folder / MANIFEST).read_bytes(), key):
        return False, f"{SEAL}: not the seal of this {MANIFEST}: it was written anew after the review"
    return True, "sealed by this user"


def _by(entries: Any, key: str) -> dict[str, Any]:
    """Return entries by name; two of one name are told apart by their place."""
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else []:
        name = str(entry.get(key))
        found[f"{name} ({len(found)})" if name in found else name] = entry
    return found


def _same(said: Any, found: Any, texts: bool) -> bool:
    """Equal, numbers up to rounding. Sentences are compared only where this version wrote them."""
    if isinstance(said, dict) and isinstance(found, dict):
        keys = said.keys() | found.keys() if texts else (said.keys() | found.keys()) - {"text"}
        return all(_same(said.get(key), found.get(key), texts) for key in keys)
    if isinstance(said, list) and isinstance(found, list):
        return len(said) == len(found) and all(_same(a, b, texts) for a, b in zip(said, found, strict=True))
    if isinstance(said, float) or isinstance(found, float):
        numbers = isinstance(said, int | float) and isinstance(found, int | float)
        return numbers and math.isclose(said, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(said == found)


def _shown(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "absent"
    if "text" in entry:
        return f"{entry.get('verdict')} ({entry['text']})"
    return ", ".join(f"{key} {value}" for key, value in entry.items() if isinstance(value, int | float))


def _listed(folder: Path) -> dict[str, dict[str, Any]] | None:
    content = read(folder / MANIFEST)
    listed = content.get("files") if isinstance(content, dict) and content.get("schema") == SCHEMA else None
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        return None
    return listed
