"""Controls of standards, and what in a review is evidence for them. Evidence, never a judgement: that is an auditor's.

The mapping is data (controls.toml), so that a user adds the controls of a company in a file of the same form. It is
kept in verdict.json, so that the page follows from the bundle alone. No torch.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustprune.errors import InputError
from robustprune.report.markdown import NONE, pipe
from robustprune.results.checks import CATALOGUE
from robustprune.results.sound import twice
from robustprune.review.audit.exhibits import EXHIBITS, shown
from robustprune.review.files import short
from robustprune.review.record import Control, Review

OURS = Path(__file__).with_name("controls.toml")
TITLE = "Controls: what is evidence for them"
HEAD = ("control", "asks", "evidence for it", "missing")
ABOUT = (
    "Which part of this review is evidence for which control, and what is missing. The controls are named in our own "
    "short words; the standard counts. Whether evidence is enough is for an auditor to say."
)


def controls(more: Path | None = None) -> tuple[Control, ...]:
    """Read the mapping of the package, and after it one of the user's own; an id given anew replaces the old one."""
    found = {one.id: one for one in _read(OURS)}
    if more is not None:
        found |= {one.id: one for one in _read(more)}
    return tuple(found.values())


def rows(review: Review) -> Iterator[tuple[Control, list[str], list[str]]]:
    """Yield every control with the evidence for it in this review, and what is missing, a line each."""
    for one in review.facts.controls:
        have, lack = shown(one.evidence, review)
        yield one, have, [*lack, *one.missing]


def to_markdown(review: Review) -> str:
    """Write the controls as a page."""
    body = [
        (f"{one.id} ({one.source})" if one.source else one.id, one.asks, *("; ".join(part) or NONE for part in parts))
        for one, *parts in rows(review)
    ]
    return f"## {TITLE}\n\n{ABOUT}\n\n{pipe(HEAD, body, padded=False)}\n"


def _read(path: Path) -> Iterator[Control]:
    """Read a mapping. InputError of one line where it is none, naming the control."""
    try:
        table = tomllib.loads(short(path).decode("utf-8-sig"))
    except (InputError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, InputError) else "not UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}; expected TOML with tables [[control]]") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML: {error}; expected tables [[control]]") from None
    found = table.get("control")
    entries = found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else []
    if set(table) != {"control"} or not entries:
        raise InputError(f"{path}: expected tables [[control]] and nothing else, found {', '.join(table) or 'nothing'}")
    for place, entry in enumerate(entries, 1):
        problem = next(_problems(entry), None)
        if problem is not None:
            raise InputError(f"{path}: control {entry.get('id', place)!r}: {problem}")
    if (name := twice([entry["id"] for entry in entries])) is not None:
        raise InputError(f"{path}: two controls have the id {name!r}, expected each once")
    for entry in entries:
        yield control_from(
            {name: [*map(_line, value)] if name in LISTS else _line(value) for name, value in entry.items()}
        )


def control_from(entry: Mapping[str, Any]) -> Control:
    """Make a control from plain data."""
    lists = {name: tuple(entry.get(name, ())) for name in LISTS}
    return Control(id=entry["id"], asks=entry["asks"], source=entry.get("source", ""), **lists)


@dataclass(frozen=True)
class _Kind:
    """What a key of a control has to be."""

    needed: bool
    many: bool


KEYS = {
    "id": _Kind(needed=True, many=False),
    "asks": _Kind(needed=True, many=False),
    "source": _Kind(needed=False, many=False),
    "evidence": _Kind(needed=True, many=True),
    "missing": _Kind(needed=False, many=True),
}
LISTS = [name for name, kind in KEYS.items() if kind.many]


def _problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a control of a file."""
    for name in [name for name in entry if name not in KEYS]:
        yield f"unknown key {name!r}; known: {', '.join(KEYS)}"
    for name, kind in KEYS.items():
        value = entry.get(name)
        if value is None and not kind.needed:
            continue
        texts = value if kind.many else [value]
        if not isinstance(texts, list) or not texts or not all(isinstance(one, str) and _line(one) for one in texts):
            yield f"{name} = {value!r}: expected {'a list of texts' if kind.many else 'a text'} of printable characters"
            return
    yield from _unknown(entry["evidence"])


def _line(text: str) -> str:
    """Return a text as one line; "" where it holds what cannot be shown."""
    line = " ".join(text.split())
    return line if line.isprintable() else ""


def _unknown(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in EXHIBITS:
            close = difflib.get_close_matches(name, EXHIBITS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            usual = ", ".join(one for one in EXHIBITS if not one.startswith("check-"))
            yield f"no evidence {name!r}; {hint}known: {usual}, check-1 to check-{max(CATALOGUE)}"
