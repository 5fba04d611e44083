"""What a contest over suites found, as sentences and tables of text; numbers stay in the frames of comparisons.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustprune.report.across.comparisons import ALL, LEVEL, PARTS, Comparison
from robustprune.report.across.field import ELSEWHERE, PUBLISHED, Field
from robustprune.report.markdown import NONE, pipe
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.entrants import average
from robustprune.results.words import p_value, percent, points_between

if TYPE_CHECKING:
    from robustprune.results.entrants import Entrant

QUESTION = "Does a consensus of criteria prune better than each single criterion?"
OPENINGS = {
    "better": "Yes: {ours} keeps more {what} than {theirs}",
    "worse": "No: {ours} keeps less {what} than {theirs}",
    "no difference shown": "Not shown: by {what} {ours} cannot be told apart from {theirs}",
    "same blocks": "Nothing to tell apart: {ours} took the same blocks as {theirs}",
    "same outcomes": "Nothing to tell apart: by {what} {ours} answers every sample as {theirs} does",
    "too few runs": "Too few training runs to say: by {what} {ours} beside {theirs}",
}
WHAT = {WORST: "robust accuracy (worst case of all attacks)", CLEAN: "clean accuracy"}


class Found:
    """All comparisons, to be looked up by who, beside whom, by which measure and where."""

    def __init__(self, field: Field, every: Sequence[Comparison]) -> None:
        self.field, self.every = field, every
        self._by = {(one.ours.name, one.theirs.name, one.measure, one.scope.name): one for one in every}

    def __call__(self, ours: str, theirs: str, measure: str, scope: str = ALL) -> Comparison | None:
        """Find a comparison; None where the two share no setting there."""
        return self._by.get((ours, theirs, measure, scope))

    def claims(self, measure: str) -> list[Comparison]:
        """List those in all settings by a measure."""
        return [one for one in self.every if one.scope.field == ALL and one.measure == measure]

    @property
    def tested(self) -> int:
        """Over how many claims p-values are adjusted."""
        return sum(one.p_holm == one.p_holm for one in self.every)


def answer(found: Found, measure: str) -> str:
    """Say in one sentence how the lead stands beside the best criterion, and in another beside the published form."""
    lead, best = found.field.lead.name, found.field.best(measure).name
    one = found(lead, best, measure)
    if one is None:
        return f"{lead} and {best}, the best single criterion of these experiments, have too few runs in common."
    theirs = f"{best}, the best single criterion of these experiments"
    text = (
        f"{_opening(one, theirs, measure)}, at equal numbers of removed blocks: {_numbers(one)} (adjusted over all "
        f"{found.tested} claims of this page)."
    )
    other = found(lead, PUBLISHED, measure)
    return text if other is None else f"{text} Beside the published consensus: {other.result}, {_numbers(other)}."


def _opening(one: Comparison, theirs: str, measure: str) -> str:
    return OPENINGS[one.result].format(ours=one.ours.name, theirs=theirs, what=WHAT[measure])


def _numbers(one: Comparison) -> str:
    """Write difference, interval and both p-values."""
    if one.found is None:
        return "difference 0"
    pair = one.found
    adjusted = f", after Holm {p_value(one.p_holm)}" if one.p_holm == one.p_holm else ""
    p = p_value(pair.p) if pair.p < 0.001 else f"= {p_value(pair.p)}"
    return f"{points_between(pair.difference, pair.low, pair.high)} points, p {p}{adjusted}"


def headline(found: Found) -> str:
    """Write a table of the lead beside those that the question is about."""
    field = found.field
    rows = []
    for measure in (WORST, CLEAN):
        best = field.best(measure).name
        beside = {best: f"{best} (best single criterion)", ELSEWHERE: ELSEWHERE, field.mean.name: field.mean.name}
        if field.lead.name != PUBLISHED:
            beside[PUBLISHED] = f"{PUBLISHED} (as published)"
        beside |= {one.name: one.name for one in field.controls}
        for name, shown in beside.items():
            one = found(field.lead.name, name, measure)
            if one is not None:
                rows.append([measure, shown, *_cells(one), _same(one), one.result])
    head = ["measure", "beside", "points", "p", "p, Holm", "same blocks", "end"]
    return pipe(head, rows)


def _cells(one: Comparison) -> list[str]:
    if one.found is None:
        return [NONE] * 3
    pair = one.found
    holm = p_value(one.p_holm) if one.p_holm == one.p_holm else NONE
    return [points_between(pair.difference, pair.low, pair.high), p_value(pair.p), holm]


def _same(one: Comparison) -> str:
    return f"{one.same} of {one.networks}" if one.networks else NONE


def matrix(found: Found, measure: str) -> str:
    """Write a row an opponent, a column a consensus: the difference with its interval, * where it is significant."""
    return _matrix(found, measure, _starred)


def same_blocks(found: Found) -> str:
    """Write a row an opponent, a column a consensus: in how many pairs of networks the same blocks went."""
    return _matrix(found, WORST, _same)


def _matrix(found: Found, measure: str, cell: Any) -> str:
    ours = [one.name for one in found.field.consensus]
    rows = []
    for theirs in opponents(found, measure):
        cells = [found(name, theirs, measure) for name in ours]
        rows.append([theirs, *(NONE if one is None else cell(one) for one in cells)])
    return pipe(["beside", *ours], [row for row in rows if any(text != NONE for text in row[1:])])


def _starred(one: Comparison) -> str:
    if one.found is None:
        return one.result if one.alike else NONE
    star = "*" if one.result in ("better", "worse") else ""
    return points_between(one.found.difference, one.found.low, one.found.high) + star


def opponents(found: Found, measure: str) -> list[str]:
    """List everything that a consensus stands beside, from the one over which the lead has least, means at the end."""
    field = found.field
    real = [*field.singles, *field.controls, *field.consensus[1:]]

    def gap(one: Entrant) -> float:
        pair = found(field.lead.name, one.name, measure)
        return 2.0 if pair is None else pair.found.difference if pair.found else 0.0

    return [*(one.name for one in sorted(real, key=gap)), field.mean.name, ELSEWHERE]


def by_part(found: Found, measure: str) -> str:
    """Write a row a number of blocks, family and suite: accuracies, and the lead's difference from three others."""
    field = found.field
    best, lead = field.best(measure), field.lead
    others = [best.name, *([PUBLISHED] if lead.name != PUBLISHED else []), field.mean.name]
    others += [field.chance.name] if field.chance else []
    scopes = {one.scope.name: one.scope for one in found.every if one.scope.field in PARTS}
    rows = []
    for name, scope in scopes.items():
        pairs = [found(lead.name, theirs, measure, name) for theirs in others]
        settings = [where for where in lead.entries if scope.holds(where)]
        row = [name, percent(average(lead, measure, of=settings))]
        rows.append([*row, *(NONE if pair is None else _difference(pair) for pair in pairs)])
    return pipe(["", lead.name, *(f"beside {name}" for name in others)], rows)


def _difference(one: Comparison) -> str:
    if one.found is None:
        return one.result
    return points_between(one.found.difference, one.found.low, one.found.high)


def tally(found: Found, measure: str) -> str:
    """Count how every consensus ends beside every single criterion."""
    singles = {one.name for one in found.field.singles}
    ends = [one.result for one in found.claims(measure) if one.ours.kind == "consensus" and one.theirs.name in singles]
    parts = [f"{end} in {ends.count(end)}" for end in OPENINGS if end in ends]
    return f"Of {len(ends)} pairs of a consensus and a single criterion, by {WHAT[measure]}: {', '.join(parts)}."


def dearness(found: Found) -> str:
    """Say whether equal numbers of blocks cost equal MACs."""
    pairs = found.claims(WORST)
    apart = [one for one in pairs if one.macs[1]]
    if not apart:
        return "At equal numbers of blocks the MACs agree within 1 % in every comparison."
    most = max(apart, key=lambda one: abs(one.macs[0] - 1))
    return (
        f"At equal numbers of blocks the MACs differ by more than 1 % in some settings of {len(apart)} of {len(pairs)} "
        f"comparisons; most on average for {most.ours.name} beside {most.theirs.name}: {most.macs[0]:.3f} times the "
        f"MACs, apart in {most.macs[1]} of {len(most.settings)} settings (columns macs_ratio and macs_apart)."
    )


def level() -> str:
    """Say what a star means."""
    return f"*: p < {LEVEL:g} after Holm's adjustment over all claims of this page."
