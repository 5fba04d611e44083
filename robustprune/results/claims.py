"""The list of claims: what is said of a network, sample by sample. Clean, each attack, the worst case over them.

A claim is a name, and for every sample whether it holds: right without any attack, or right and still right under one.
Tables, policy, reviews, model cards and pytest take the claims, their order and their names from here. To add one: its
place in `listed`, its row in `right`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robustprune.results.records import CaseResult, Outcomes

CLEAN, WORST = "clean", "worst case"


def listed(attacks: Iterable[str]) -> list[str]:
    """List the claims in order, from the titles of the attacks; the worst case only where an attack ran.

    >>> listed(["PGD-20, Linf 8/255"]), listed([])
    (['clean', 'PGD-20, Linf 8/255', 'worst case'], ['clean'])
    """
    titles = dict.fromkeys(attacks)
    return [CLEAN, *titles, *([WORST] if titles else [])]


def titled(attack: str, threat: str) -> str:
    """Name an attack with its threat model, once where its own name says it already.

    >>> titled("PGD-20", "L2 0.5"), titled("mine at L2 0.5", "L2 0.5")
    ('PGD-20, L2 0.5', 'mine at L2 0.5')
    """
    return attack if threat in attack else f"{attack}, {threat}"


def title(outcome: Outcomes) -> str:
    """Name the attack of an outcome with its threat model."""
    return titled(outcome.attack, outcome.threat)


def kind(claim: str) -> str:
    """Say which accuracy a claim is about: clean or robust."""
    return "clean accuracy" if claim == CLEAN else "robust accuracy"


def named(claim: str) -> str:
    """Name a claim for people.

    >>> named("clean"), named("worst case"), named("PGD-20, L2 0.5")
    ('clean accuracy', 'robust accuracy, worst case', 'robust accuracy, PGD-20, L2 0.5')
    """
    return kind(claim) if claim == CLEAN else f"{kind(claim)}, {claim}"


def measures(cases: Iterable[CaseResult]) -> list[str]:
    """List the claims that were measured on any of the cases."""
    return listed(title(outcome) for case in cases for outcome in case.outcomes)


def right(case: CaseResult, claim: str) -> list[bool] | None:
    """Say per sample whether a claim holds; None where it was not measured."""
    if claim == CLEAN:
        return case.clean
    if claim == WORST:
        return case.worst if case.outcomes else None
    return next((outcome.robust for outcome in case.outcomes if title(outcome) == claim), None)


def claims(case: CaseResult) -> dict[str, list[bool]]:
    """Return every claim of a case in order, with what it says per sample."""
    rows = ((claim, right(case, claim)) for claim in measures([case]))
    return {claim: row for claim, row in rows if row is not None}


def shared(candidate: CaseResult, parent: CaseResult) -> dict[str, tuple[list[bool], list[bool]]]:
    """Return every claim that both networks have, in the candidate's order: the parent's row and the candidate's."""
    theirs = claims(parent)
    return {claim: (theirs[claim], now) for claim, now in claims(candidate).items() if claim in theirs}


def headlines(candidate: CaseResult, parent: CaseResult) -> list[str]:
    """List the claims that are also looked at class by class: clean, and the worst case where both were attacked."""
    both = bool(candidate.outcomes and parent.outcomes)
    return [CLEAN, WORST] if both else [CLEAN]


def share(row: Sequence[bool]) -> float:
    """Return the share of samples for which a claim holds.

    >>> share([True, False, True, True])
    0.75
    """
    return sum(row) / len(row)


def by_class(case: CaseResult) -> list[tuple[str, list[int]]]:
    """List the classes that occur, by name, each with the positions of its samples."""
    rows: dict[int, list[int]] = {}
    for row, label in enumerate(case.labels):
        rows.setdefault(label, []).append(row)
    names = dict(enumerate(case.classes))
    return [(names.get(label, str(label)), rows[label]) for label in sorted(rows)]
