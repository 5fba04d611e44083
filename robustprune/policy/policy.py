"""Margins, and the verdict they lead to: may this pruned network stand in for its parent?

The rule is non-inferiority. With a margin m, a measure PASSes if the whole interval of (pruned - parent)
lies above -m, FAILs if it lies below -m, and is INCONCLUSIVE in between. So the burden of proof lies with
the pruned network: a small sample can never pass, not even for an identical copy.

Level. PASS looks at one end of a two-sided interval, so with the default confidence of 95 % a measure whose
true drop equals its margin passes in about 2.5 % of the trials, below the 5 % usual for a gate. Many
measures are looked at, but the whole passes only if EVERY one passes; a network that is truly worse on any
of them must get past that one, so the chance of a wrong PASS stays at the level of one measure
(intersection-union test; Berger, Technometrics 24, 1982) and no Holm correction is due. The price is paid
on the other side: one failed measure among many is a FAIL, so a network exactly on all its margins fails
more often than 2.5 %. For a security gate that is the right side to err on.

UNTRUSTED overrides all: if a blocking validity check failed, or if an attack did not run alike on both
networks and on every sample, the robust numbers say nothing, whatever they are. And where the parent itself
has no more robust accuracy than the margin, nothing could be lost: that is INCONCLUSIVE, never a PASS.

Floors. A network that loses nothing beside a parent that is as weak is no network to ship: clean and worst-case robust
accuracy of the candidate itself have to lie above a floor, with the whole interval, else the verdict is INCONCLUSIVE. A
suite that studies weak networks sets them to None; then the findings say that none was asked for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from robustprune.errors import InputError
from robustprune.policy.findings import ORDER, Verdict
from robustprune.policy.measures import (
    accuracies,
    check_same_samples,
    classes,
    comparable,
    evidence,
    floors,
    latency,
    named_classes,
    perplexities,
    saving,
)
from robustprune.results.checks import CATALOGUE
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.records import CaseResult


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How much a pruned network may lose, and what it must save. Proportions: 0.01 is one point.

    The defaults allow one point of clean accuracy, two of robust accuracy (worst case over all attacks, and
    under each attack), ten within any one class, and ask for no saving beyond "costs no more MACs". To PASS
    they need about 400 samples where the networks agree on every one, and some thousands where they differ
    on several per cent.
    """

    max_clean_drop: float = 0.01
    max_robust_drop: float = 0.02
    max_class_drop: float | None = 0.1
    """For clean and for worst-case robust accuracy within every class; None leaves the classes out."""
    class_drops: Mapping[str, float] = field(default_factory=dict)
    """Margins of classes that matter more, by name, such as {"stop sign": 0.02}; each is judged by itself."""
    min_clean: float | None = 0.5
    """Clean accuracy that the candidate must have, whatever its parent has; None: no floor."""
    min_robust: float | None = 0.1
    """The same for robust accuracy, in the worst case over all attacks: what chance alone gives with ten classes."""
    min_saving: float = 0.0
    """Smallest share of the parent's MACs that must be gone."""
    max_latency_ratio: float | None = None
    """Largest latency relative to the parent's, at each batch size; None: not judged."""
    max_perplexity_ratio: float | None = None
    """Largest perplexity relative to the parent's, where what is predicted is the next token; None: not judged."""
    confidence: float = 0.95
    """Of the two-sided intervals; the gate itself is one-sided at (1 - confidence) / 2."""
    blocking: tuple[int, ...] | None = None
    """Numbers of the validity checks that must pass, else UNTRUSTED; one that is missing or was
    skipped blocks too. None: the checks that were recorded as blocking, where only a failure counts."""

    def __post_init__(self) -> None:
        for one in fields(self):
            problem = _problem(one.name, getattr(self, one.name))
            if problem:
                raise InputError(f"policy: {problem}")

    def margin(self, claim: str) -> float:
        """Return the largest drop allowed for a claim (`results.claims`)."""
        return self.max_clean_drop if claim == CLEAN else self.max_robust_drop


def judge(candidate: CaseResult, parent: CaseResult, policy: Policy | None = None) -> Verdict:
    """Judge a case against its parent. InputError unless both hold the same samples in the same order."""
    policy = policy or Policy()
    check_same_samples(candidate, parent)
    found = [
        *evidence(candidate, policy.blocking, "candidate"),
        *evidence(parent, policy.blocking, "parent"),
        *comparable(candidate, parent),
        *accuracies(candidate, parent, policy.margin, policy.confidence),
    ]
    if policy.max_class_drop is not None:
        found += classes(candidate, parent, policy.max_class_drop, policy.confidence)
    found += named_classes(candidate, parent, policy.class_drops, policy.confidence)
    found += floors(candidate, {CLEAN: policy.min_clean, WORST: policy.min_robust}, policy.confidence)
    found += saving(candidate, parent, policy.min_saving)
    if policy.max_latency_ratio is not None:
        found += latency(candidate, policy.max_latency_ratio)
    if policy.max_perplexity_ratio is not None:
        found += perplexities(candidate, parent, policy.max_perplexity_ratio, policy.confidence)
    decision = min((finding.verdict for finding in found), key=ORDER.index)
    return Verdict(case=candidate.case, parent=parent.case, verdict=decision, findings=tuple(found))


def judge_all(cases: Sequence[CaseResult], policy: Policy | None = None) -> list[Verdict]:
    """Judge every case that has a parent among the cases, in order.

    >>> judge_all([])
    []
    """
    by_name = {case.case: case for case in cases}
    children = [case for case in cases if case.parent in by_name]
    return [judge(case, by_name[str(case.parent)], policy) for case in children]


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 1 if any verdict is FAIL, else 3 if any is INCONCLUSIVE or UNTRUSTED, else 0.

    >>> exit_code([])
    0
    """
    seen = {verdict.verdict for verdict in verdicts}
    return 1 if "FAIL" in seen else 3 if seen - {"PASS"} else 0


def load_policy(path: str | Path) -> Policy:
    """Read a policy from a TOML file: the fields of `Policy` as keys, at the top or in a table `[policy]`.

    `false` stands for None. A wrong file is refused with one line that names the file, the line and the key.
    """
    import tomllib

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such policy file; expected TOML, such as: max_clean_drop = 0.01")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}; expected lines such as: max_clean_drop = 0.01") from error
    if set(table) == {"policy"} and isinstance(table["policy"], dict):
        table = table["policy"]
    values: dict[str, Any] = {
        key: None if value is False and key in _OPTIONAL else value for key, value in table.items()
    }
    for key, value in values.items():
        problem = _problem(key, value)
        if problem:
            raise InputError(f"{path}, line {_line_of(key, text)}: {problem}")
    if isinstance(values.get("blocking"), list):
        values["blocking"] = tuple(values["blocking"])
    return Policy(**values)


def _line_of(key: str, text: str) -> int:
    """Return the number of the line on which a key, or a table of that name, stands."""
    pattern = re.compile(rf"""\s*\[*\s*(?:policy\.)?["']?{re.escape(key)}["']?\s*[\].=]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _problem(key: str, value: Any) -> str | None:
    """Say what is wrong with a field's value and what would work; None if nothing is."""
    if key not in _RULES:
        close = difflib.get_close_matches(key, _RULES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"unknown key {key}; {hint}known: {', '.join(_RULES)}"
    accepts, expected = _RULES[key]
    return None if accepts(value) else f"{key} = {value!r}: expected {expected}"


def _number(low: float, high: float) -> Callable[[Any], bool]:
    """Accept a number from low up to, not including, high."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value < high


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or accepts(value)


def _shares(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and _number(0, 1)(one) for name, one in value.items()
    )


def _check_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is int and item in CATALOGUE for item in value)


_SHARE = "a proportion from 0 up to, not including, 1 (0.01 is one point)"


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_clean_drop": (_number(0, 1), _SHARE),
    "max_robust_drop": (_number(0, 1), _SHARE),
    "max_class_drop": (_or_none(_number(0, 1)), f"{_SHARE}, or None (false in TOML) to leave classes out"),
    "class_drops": (_shares, f'a table of names of classes, each with {_SHARE}, such as {{"stop sign" = 0.02}}'),
    "min_clean": (_or_none(_number(0, 1)), f"{_SHARE}, or None (false in TOML) for no floor"),
    "min_robust": (_or_none(_number(0, 1)), f"{_SHARE}, or None (false in TOML) for no floor"),
    "min_saving": (_number(0, 1), "a share of the parent's MACs from 0 up to, not including, 1"),
    "max_latency_ratio": (
        _or_none(_number(1e-9, float("inf"))),
        "a ratio to the parent's latency above 0, such as 0.8, or None (false in TOML)",
    ),
    "max_perplexity_ratio": (
        _or_none(_number(1, float("inf"))),
        "a ratio to the parent's perplexity from 1 up, such as 1.1, or None (false in TOML)",
    ),
    "confidence": (_number(0.5, 1), "a level from 0.5 up to, not including, 1, such as 0.95"),
    "blocking": (
        _or_none(_check_numbers),
        f"a list of numbers of validity checks (1 to {max(CATALOGUE)}), such as [2, 3, 12], or None (false in TOML)",
    ),
}


_OPTIONAL = {"max_class_drop", "min_clean", "min_robust", "max_latency_ratio", "max_perplexity_ratio", "blocking"}
