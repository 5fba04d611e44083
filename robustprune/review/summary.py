"""A review in words: Markdown that a CI job can post, and text for the terminal. The verdict comes first.

Both are made of the same lines, so they cannot disagree. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from robustprune.policy.findings import Verdict
from robustprune.report.markdown import NONE, inline, paragraph, pipe, printable
from robustprune.results.claims import CLEAN, WORST, headlines, named, titled
from robustprune.results.cost_changes import CostChange, changes
from robustprune.results.exchanged import is_on_texts
from robustprune.results.overstated import by_threat
from robustprune.results.records import Check
from robustprune.results.words import between, percent, points, points_between
from robustprune.review.anatomy_text import structure_lines
from robustprune.review.artefacts.beside import alone_lines, wide_rows
from robustprune.review.record import Review, exhibits_digest
from robustprune.review.shifts import Shift, class_shifts, shifts, transfer
from robustprune.review.texts.broken import TITLE, lines

MEANING = {
    "PASS": "the candidate may take the parent's place",
    "FAIL": "the candidate lost more than the policy allows",
    "INCONCLUSIVE": "these samples are too few to say",
    "UNTRUSTED": "the measurement cannot be believed",
}
BESIDE = "What ships beside its float twin"

SHOWN = 12
"""Longer lists are cut in texts; verdict.json has them whole."""


def headline(review: Review) -> str:
    """Say the verdict in one line, with the sample size that would settle an INCONCLUSIVE one."""
    return f"{review.verdict.verdict}: {MEANING[review.verdict.verdict]}{needed(review.verdict)}"


def needed(verdict: Verdict) -> str:
    """Say how many samples an INCONCLUSIVE verdict takes; at least, where one measure sits on its margin."""
    sizes = [finding.needed_n or 0 for finding in verdict.findings if finding.verdict == "INCONCLUSIVE"]
    if verdict.verdict != "INCONCLUSIVE" or not any(sizes):
        return ""
    if verdict.needed_n:
        return f"; about {verdict.needed_n:,} samples would settle it"
    return f"; it takes at least about {max(sizes):,} samples"


def subject(review: Review) -> str:
    """Say what was compared on what."""
    names = [f"{facts['name']} ({facts['spec']})" for facts in (review.facts.candidate, review.facts.parent)]
    data, n = review.facts.data, len(review.candidate.labels)
    return (
        f"{names[0]} in place of {names[1]}, on {n:,} samples of {data['name']} ({data['source']}), "
        f"tier {review.facts.tier}"
    )


def table(review: Review) -> Sequence[tuple[str, ...]]:
    """List rows under a head: accuracies, what transfers, costs; of what ships beside its float twin too."""
    rows = _narrow(review)
    if review.beside is None:
        return rows
    return wide_rows(rows, review.beside, review.candidate, review.policy.confidence)


def _narrow(review: Review) -> list[tuple[str, str, str, str]]:
    """List rows of (measure, parent, candidate, change)."""
    rows = [("", "parent", "candidate", "change")]
    for shift in shifts(review.candidate, review.parent, review.policy.confidence):
        rows.append((named(shift.claim), percent(shift.before), percent(shift.now), _change(shift)))
    for outcomes in review.transfers:
        found = transfer(outcomes, review.policy.confidence)
        name = named(titled(f"{found.attack} from the parent", found.threat))
        rows.append((name, NONE, percent(found.robust), f"{found.fooled} of {found.right} fooled"))
    return rows + cost_rows(review)


def structure(review: Review) -> list[str]:
    """Say what changed in the structure, one line each."""
    return structure_lines(review.changes)


def cost_rows(review: Review) -> list[tuple[str, str, str, str]]:
    """List what both cost: (measure, parent, candidate, change)."""
    rows = []
    for change in changes(review.candidate.cost, review.parent.cost):
        amount = (change.measure.amount or change.measure.number).format
        rows.append((change.measure.name, amount(change.before), amount(change.now), _factor(change)))
    return rows


def transfer_lines(review: Review) -> list[str]:
    """Say what attacks made on the parent do to the candidate."""
    found = [transfer(outcomes, review.policy.confidence) for outcomes in review.transfers]
    return [
        f"{titled(one.attack, one.threat)}: {one.fooled} of {one.right} fooled, "
        f"robust accuracy {between(one.robust, one.low, one.high)}"
        for one in found
    ]


def beside_lines(review: Review) -> list[str]:
    """Say what changes from the float twin to what ships, and how fast it runs; nothing of any other candidate."""
    beside = review.beside
    return [] if beside is None else list(alone_lines(beside, review.candidate, review.policy.confidence))


def broken_lines(review: Review) -> list[str]:
    """Say how many samples broke and came right, claim by claim; for clean and the worst case also which."""
    lines = []
    for shift in shifts(review.candidate, review.parent, review.policy.confidence):
        if shift.broken or shift.fixed:
            broken, fixed = (
                _positions(rows) if shift.claim in (CLEAN, WORST) else "" for rows in (shift.broken, shift.fixed)
            )
            lines.append(
                f"{named(shift.claim)}: {len(shift.broken)} newly broken{broken}; {len(shift.fixed)} newly fixed{fixed}"
            )
    return lines or ["No sample: both networks are right, and robust, on the same ones."]


def class_lines(review: Review) -> Iterator[str]:
    """Name the worst class, clean and in the worst case."""
    for claim in headlines(review.candidate, review.parent):
        found = class_shifts(claim, review.candidate, review.parent, review.policy.confidence)
        worst, lost = found[0], min(found, key=lambda one: one.now - one.before)
        drop = lost.now - lost.before
        most = f"most lost by {lost.name}, {points(drop)} points" if drop < 0 else "no class lost any"
        yield (
            f"{named(claim)}: worst class {worst.name} with {percent(worst.now)} of {worst.n} "
            f"(parent {percent(worst.before)}); {most}"
        )


def overstated_lines(review: Review) -> list[str]:
    """Say by how much robust accuracy is too high, network by network and threat by threat."""
    sides = (("candidate", review.candidate), ("parent", review.parent))
    found = [f"{side}, {one.threat}: {one.text}" for side, case in sides for one in by_threat(case).values()]
    return found or ["not measured"]


def check_lines(review: Review) -> list[str]:
    """Say how many validity checks hold, then each that failed, then what was not measured."""
    lines = []
    for side, checks in (("candidate", review.candidate.checks), ("parent", review.parent.checks)):
        counts = [sum(check.status == status for check in checks) for status in ("pass", "fail", "skipped")]
        lines.append(f"{side}: {counts[0]} pass, {counts[1]} fail, {counts[2]} skipped")
        lines += [_check(side, check) for check in checks if check.status == "fail"]
    skipped = [f"{check.number} {check.name}" for check in review.candidate.checks if check.status == "skipped"]
    return lines + ([f"not measured on the candidate: {', '.join(skipped)}"] if skipped else [])


def origin_lines(review: Review) -> list[str]:
    """Say how many numbers were measured for this review or found in the user's own store; quote what has no source."""
    told = (("measured", "measured for this review"), ("found", "found in the store of this user's own runs"))
    lines = []
    for origin, text in told:
        counts = {kind: found[origin] for kind, found in review.facts.origin.items() if origin in found}
        if counts:
            lines.append(f"{text}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}")
    texts = ", texts that broke" if is_on_texts(review.candidate) else ""
    digest = f"curves over eps and list of samples{texts}: sha256 {exhibits_digest(review)}"
    return [*(lines or ["all measured for this review"]), digest]


def energy_lines(review: Review) -> list[str]:
    """Say how energy was measured, or why it was not; nothing where nobody asked."""
    sides = (("parent", review.parent), ("candidate", review.candidate))
    return [f"{side}: {case.cost.energy_method}" for side, case in sides if case.cost.energy_method]


def sections(review: Review) -> list[tuple[str, list[str]]]:
    """Return the text below the table: (heading, lines)."""
    return [
        ("Why", review.verdict.reasons),
        *([(BESIDE, beside_lines(review))] if review.beside else []),
        ("What changed", structure(review)),
        ("What broke", broken_lines(review)),
        *([(TITLE, list(lines(review.exhibits.texts)))] if review.exhibits.texts else []),
        ("Classes", list(class_lines(review))),
        ("How much too high robust accuracy can be", overstated_lines(review)),
        ("Validity checks", check_lines(review)),
        *([("Energy", energy_lines(review))] if energy_lines(review) else []),
        ("Where the numbers come from", origin_lines(review)),
    ]


def to_markdown(review: Review, seal: str = "") -> str:
    """Write a review as Markdown that a CI job can post."""
    why, *others = sections(review)
    head, *rows = table(review)
    lines = [f"## robustprune review: {headline(review)}", "", paragraph(subject(review)) + ".", "", *_bullets(why), ""]
    lines += [pipe(head, rows, padded=False), ""]
    lines += [
        "Robust accuracy counts over all samples and is an upper bound: a stronger attack can only lower it.",
        "",
    ]
    for section in others:
        lines += [*_bullets(section), ""]
    if seal:
        lines += [f"Evidence bundle: sha256 of its manifest `{seal}`.", ""]
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", review.facts.command))])
    lines += [fence, printable(review.facts.command), fence]
    return "\n".join(lines) + "\n"


def to_text(review: Review) -> str:
    """Write a review for the terminal, without the headline."""
    why, *others = sections(review)
    rows = table(review)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines = [subject(review), "", *_indented(why), "", *shown]
    for section in others:
        lines += ["", *_indented(section)]
    return "\n".join(map(printable, lines))


def _bullets(section: tuple[str, Sequence[str]]) -> list[str]:
    return [f"**{section[0]}**", "", *(f"- {inline(line)}" for line in section[1])]


def _indented(section: tuple[str, Sequence[str]]) -> list[str]:
    return [section[0], *(f"  {line}" for line in section[1])]


def _change(shift: Shift) -> str:
    return f"{points_between(shift.difference, shift.low, shift.high)} points"


def _factor(change: CostChange) -> str:
    """Write the ratio of a cost, and how it was found where that matters."""
    if change.ratio is None:
        return NONE
    how = f"{change.doubt} timed in turn" if change.measure.timed else change.doubt
    return f"x {change.ratio:.3f} ({100 * (change.ratio - 1):+.2f} %){how}"


def _check(side: str, check: Check) -> str:
    grave = " (blocking)" if check.blocking else ""
    return f"check {check.number} FAILED on the {side}{grave}: {check.name}: {check.evidence}"


def _positions(rows: Sequence[int]) -> str:
    if not rows:
        return ""
    return f" ({', '.join(map(str, rows[:SHOWN]))}{', ...' if len(rows) > SHOWN else ''})"
