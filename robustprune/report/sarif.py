"""Judgements as SARIF 2.1.0, which code scanning services read: one rule a claim, one result a claim and subject.

FAIL is an error; INCONCLUSIVE and UNTRUSTED are warnings; PASS is a result of kind "pass", whose level is "none" by the
standard (section 3.27.10).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from robustprune import __version__
from robustprune.policy.findings import Decision, Verdict
from robustprune.report.markdown import printable

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "robustprune/v1"
LEVELS: dict[Decision, str] = {"FAIL": "error", "INCONCLUSIVE": "warning", "UNTRUSTED": "warning", "PASS": "none"}
FIGURES = ("difference", "low", "high", "margin", "n", "needed_n")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One claim about one subject: the verdict, a line that says why, and the file that it is about."""

    subject: str
    claim: str
    verdict: Decision
    text: str
    file: str
    """Its path."""
    figures: Mapping[str, float | int | str] = field(default_factory=dict)


def of_verdict(verdict: Verdict, file: str) -> list[Judged]:
    """Return every finding of a verdict as a judgement about a file."""
    found = []
    for one in verdict.findings:
        figures = {name: getattr(one, name) for name in FIGURES if getattr(one, name) is not None}
        found.append(
            Judged(
                subject=verdict.case,
                claim=one.measure,
                verdict=one.verdict,
                text=one.text,
                file=file,
                figures=figures,
            )
        )
    return found


def to_sarif(found: Sequence[Judged], run: str) -> str:
    """Write judgements as SARIF; `run` names what they belong to, such as "review" or "suites".

    >>> json.loads(to_sarif([], "review"))["runs"][0]["results"]
    []
    """
    rules = _rules(one.claim for one in found)
    tool = {"name": "robustprune", "semanticVersion": __version__, "rules": [*rules.values()]}
    content = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": tool},
                "automationDetails": {"id": f"robustprune/{run}"},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, [*rules].index(one.claim), rules[one.claim]["id"]) for one in found],
            }
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def place_of(file: str) -> str:
    """Return the address of a file: relative to where the program runs if it lies below, else absolute.

    >>> place_of("my suites/digits.py"), place_of("/there/digits.py")
    ('my%20suites/digits.py', 'file:///there/digits.py')
    """
    path = Path(file)
    if path.is_absolute() and not path.is_relative_to(Path.cwd()):
        return path.as_uri()
    return quote(os.fsencode((path.relative_to(Path.cwd()) if path.is_absolute() else path).as_posix()))


def rule_id(claim: str) -> str:
    """Return the name of a claim's rule.

    >>> rule_id("robust accuracy, PGD-20, Linf 8/255")
    'robust-accuracy-pgd-20-linf-8-255'
    """
    return re.sub(r"[^a-z0-9]+", "-", claim.lower()).strip("-") or "claim"


def _rules(claims: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Make a rule for every claim; where two would share a name the second is numbered."""
    rules: dict[str, dict[str, Any]] = {}
    for claim in dict.fromkeys(claims):
        taken = {rule["id"] for rule in rules.values()}
        base = rule_id(claim)
        name = next(one for one in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if one not in taken)
        rules[claim] = {
            "id": name,
            "shortDescription": {"text": printable(claim)},
            "fullDescription": {"text": f"{printable(claim)}: judged beside the parent, or what was approved."},
            "defaultConfiguration": {"level": "error"},
        }
    return rules


def _result(one: Judged, place: int, rule: str) -> dict[str, Any]:
    where = {"artifactLocation": {"uri": place_of(one.file)}, "region": {"startLine": 1}}
    subject = printable(one.subject)
    mark = hashlib.sha256(json.dumps([one.subject, one.claim]).encode()).hexdigest()
    return {
        "ruleId": rule,
        "ruleIndex": place,
        "kind": "pass" if one.verdict == "PASS" else "fail",
        "level": LEVELS[one.verdict],
        "message": {"text": f"{one.verdict}: {printable(one.text)}"},
        "locations": [{"physicalLocation": where, "logicalLocations": [{"fullyQualifiedName": subject}]}],
        "partialFingerprints": {FINGERPRINT: mark},
        "properties": {"verdict": one.verdict, **one.figures},
    }
