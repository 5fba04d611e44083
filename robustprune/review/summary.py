"""A review in words: Markdown that a CI job can post, and text for the terminal. The verdict comes first.

Both are made of the same lines, so they cannot disagree. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustprune.regression import CLEAN, WORST
from robustprune.results import Check
from robustprune.review.anatomy_text import structure_lines
from robustprune.review.record import Review, costs
from robustprune.review.shifts import Shift, class_shifts, shifts, transfer
from robustprune.verdict import Verdict

MEANING = {
    "PASS": "the candidate may take the parent's place",
    "FAIL": "the candidate lost more than the policy allows",
    "INCONCLUSIVE": "these samples are too few to say",
    "UNTRUSTED": "the measurement cannot be believed",
}
SHOWN = 12
"""Longer lists are cut in texts; verdict.json has them whole."""


def headline(review: Review) -> str:
    """The verdict in one line, with the sample size that would settle an INCONCLUSIVE one."""
    return f"{review.verdict.verdict}: {MEANING[review.verdict.verdict]}{needed(review.verdict)}"


def needed(verdict: Verdict) -> str:
    """How many samples an INCONCLUSIVE verdict takes; at least, where one measure sits on its margin."""
    sizes = [finding.needed_n or 0 for finding in verdict.findings if finding.verdict == "INCONCLUSIVE"]
    if verdict.verdict != "INCONCLUSIVE" or not any(sizes):
        return ""
    if verdict.needed_n:
        return f"; about {verdict.needed_n:,} samples would settle it"
    return f"; it takes at least about {max(sizes):,} samples"


def subject(review: Review) -> str:
    """What was compared on what."""
    names = [f"{facts['name']} ({facts['spec']})" for facts in (review.facts.candidate, review.facts.parent)]
    data, n = review.facts.data, len(review.candidate.labels)
    return (
        f"{names[0]} in place of {names[1]}, on {n:,} samples of {data['name']} ({data['source']}), "
        f"tier {review.facts.tier}"
    )


def table(review: Review) -> list[tuple[str, str, str, str]]:
    """Rows of (measure, parent, candidate, change) under a head: accuracies, what transfers, costs."""
    rows = [("", "parent", "candidate", "change")]
    for shift in shifts(review.candidate, review.parent, review.policy.confidence):
        rows.append((_claim(shift.claim), _percent(shift.before), _percent(shift.now), _change(shift)))
    for outcomes in review.transfers:
        found = transfer(outcomes, review.policy.confidence)
        name = f"robust accuracy, {found.attack} from the parent, {found.threat}"
        rows.append((name, "-", _percent(found.robust), f"{found.fooled} of {found.right} fooled"))
    return rows + cost_rows(review)


def structure(review: Review) -> list[str]:
    """What changed in the structure, one line each."""
    return structure_lines(review.changes)


def cost_rows(review: Review) -> list[tuple[str, str, str, str]]:
    """What both cost: (measure, parent, candidate, change)."""
    rows = []
    for cost in costs(review.candidate, review.parent):
        before, now = (_amount(cost["measure"], cost[side]) for side in ("before", "now"))
        ratio = cost["ratio"]
        change = "-" if ratio is None else f"x {ratio:.3f} ({100 * (ratio - 1):+.2f} %)"
        if ratio is not None and cost["measure"].startswith("latency"):
            change += " timed in turn"
        rows.append((cost["measure"], before, now, change))
    return rows


def transfer_lines(review: Review) -> list[str]:
    """What attacks made on the parent do to the candidate."""
    found = [transfer(outcomes, review.policy.confidence) for outcomes in review.transfers]
    return [
        f"{one.attack}, {one.threat}: {one.fooled} of {one.right} fooled, "
        f"robust accuracy {_percent(one.robust)} [{_percent(one.low)}, {_percent(one.high)}]"
        for one in found
    ]


def broken_lines(review: Review) -> list[str]:
    """How many samples broke and came right, claim by claim; for clean and the worst case also which."""
    lines = []
    for shift in shifts(review.candidate, review.parent, review.policy.confidence):
        if shift.broken or shift.fixed:
            broken, fixed = (
                _positions(rows) if shift.claim in (CLEAN, WORST) else "" for rows in (shift.broken, shift.fixed)
            )
            lines.append(
                f"{_claim(shift.claim)}: {len(shift.broken)} newly broken{broken}; "
                f"{len(shift.fixed)} newly fixed{fixed}"
            )
    return lines or ["No sample: both networks are right, and robust, on the same ones."]


def class_lines(review: Review) -> Iterator[str]:
    """The worst class, clean and in the worst case."""
    claims = [CLEAN, *([WORST] if review.candidate.outcomes and review.parent.outcomes else [])]
    for claim in claims:
        found = class_shifts(claim, review.candidate, review.parent, review.policy.confidence)
        worst, lost = found[0], min(found, key=lambda one: one.now - one.before)
        drop = lost.now - lost.before
        most = f"most lost by {lost.name}, {_points(drop)} points" if drop < 0 else "no class lost any"
        yield (
            f"{_claim(claim)}: worst class {worst.name} with {_percent(worst.now)} of {worst.n} "
            f"(parent {_percent(worst.before)}); {most}"
        )


def check_lines(review: Review) -> list[str]:
    """How many validity checks hold, then each that failed, then what was not measured."""
    lines = []
    for side, checks in (("candidate", review.candidate.checks), ("parent", review.parent.checks)):
        counts = [sum(check.status == status for check in checks) for status in ("pass", "fail", "skipped")]
        lines.append(f"{side}: {counts[0]} pass, {counts[1]} fail, {counts[2]} skipped")
        lines += [_check(side, check) for check in checks if check.status == "fail"]
    skipped = [f"{check.number} {check.name}" for check in review.candidate.checks if check.status == "skipped"]
    return lines + ([f"not measured on the candidate: {', '.join(skipped)}"] if skipped else [])


def sections(review: Review) -> list[tuple[str, list[str]]]:
    """The text below the table: (heading, lines)."""
    return [
        ("Why", review.verdict.reasons),
        ("What changed", structure(review)),
        ("What broke", broken_lines(review)),
        ("Classes", list(class_lines(review))),
        ("Validity checks", check_lines(review)),
    ]


def to_markdown(review: Review, seal: str = "") -> str:
    """Write a review as Markdown that a CI job can post."""
    why, *others = sections(review)
    head, *rows = table(review)
    lines = [f"## robustprune review: {headline(review)}", "", subject(review) + ".", "", *_bullets(why), ""]
    lines += [_row(head), "|:--|--:|--:|--:|", *(_row(row) for row in rows), ""]
    lines += [
        "Robust accuracy counts over all samples and is an upper bound: a stronger attack can only lower it.",
        "",
    ]
    for section in others:
        lines += [*_bullets(section), ""]
    if seal:
        lines += [f"Evidence bundle: sha256 of its manifest `{seal}`.", ""]
    lines += ["```", review.facts.command, "```"]
    return "\n".join(lines) + "\n"


def to_text(review: Review) -> str:
    """Write a review for the terminal, without the headline."""
    why, *others = sections(review)
    rows = table(review)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    shown = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines = [subject(review), "", *_indented(why), "", *shown]
    for section in others:
        lines += ["", *_indented(section)]
    return "\n".join(lines)


def _bullets(section: tuple[str, Sequence[str]]) -> list[str]:
    return [f"**{section[0]}**", "", *(f"- {line}" for line in section[1])]


def _indented(section: tuple[str, Sequence[str]]) -> list[str]:
    return [section[0], *(f"  {line}" for line in section[1])]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _claim(claim: str) -> str:
    if claim == CLEAN:
        return "clean accuracy"
    return "robust accuracy, worst case" if claim == WORST else f"robust accuracy, {claim}"


def _change(shift: Shift) -> str:
    return f"{_points(shift.difference)} [{_points(shift.low)}, {_points(shift.high)}] points"


def _check(side: str, check: Check) -> str:
    grave = " (blocking)" if check.blocking else ""
    return f"check {check.number} FAILED on the {side}{grave}: {check.name}: {check.evidence}"


def _positions(rows: Sequence[int]) -> str:
    if not rows:
        return ""
    return f" ({', '.join(map(str, rows[:SHOWN]))}{', ...' if len(rows) > SHOWN else ''})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _amount(measure: str, value: float) -> str:
    if measure.startswith("latency"):
        return f"{value:.3g} ms"
    return f"{value:,} bytes" if measure in ("file size", "memory") else f"{value:,}"
