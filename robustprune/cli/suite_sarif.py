"""What the tests of suites found, as judgements for SARIF: evidence, policy, and claims beside what was approved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustprune.policy.findings import Decision
    from robustprune.report.sarif import Judged

OUTCOMES: dict[str, Decision] = {"passed": "PASS", "failed": "FAIL", "skipped": "INCONCLUSIVE"}
LEFT_OUT = ("verdict", "case", "claim", "policy", "line", "evidence")
"""Facts that have a place of their own."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one test said: the suite's file, how the test ended, and the facts that it noted, as text."""

    file: str
    outcome: str
    facts: Mapping[str, str]


def judgements(told: Iterable[Told]) -> list[Judged]:
    """Return a judgement for every test that noted something."""
    return [*_judged(told)]


def _judged(told: Iterable[Told]) -> Iterator[Judged]:
    from robustprune.report.sarif import Judged

    for one in told:
        facts, verdict = one.facts, OUTCOMES[one.outcome]
        known = {name: value for name, value in facts.items() if name not in LEFT_OUT}
        if "evidence" in facts:
            claim, text = "evidence", f"{facts['case']}: the attack on it is {facts['evidence']}"
            verdict = "UNTRUSTED" if one.outcome == "failed" else verdict
        elif "policy" in facts:
            claim, text = "policy of the suite", facts["line"]
            verdict = "UNTRUSTED" if one.outcome == "failed" and facts["policy"] == "UNTRUSTED" else verdict
        else:
            claim, text = f"{facts['claim']}, since it was approved", f"{facts['case']}: {_text(known)}"
            verdict = "UNTRUSTED" if facts.get("verdict") == "UNTRUSTED" else verdict
        yield Judged(subject=facts["case"], claim=claim, verdict=verdict, text=text, file=one.file, figures=known)


def _text(facts: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items() if value != "-")
