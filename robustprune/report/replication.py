"""Would another training say the same? Every significant sentence of one run of a suite beside the other runs of it.

The runs have other seeds throughout (`Suite.replicated`). A sentence is "strategy A is more (or less) robust than B", a
contest, or "strategy A changed its parent's accuracy", a change. It is contradicted where another run says the
opposite, significantly; confirmed where every other run has its sign; else unconfirmed. Two rules make sentences from
the same measurements: the sample as the only unit (exact sign-flip test of the mean over runs), and samples and runs
(`results.crossed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from robustprune.report.contest import contests_of
from robustprune.report.groups import difference, group
from robustprune.report.markdown import pipe
from robustprune.report.notes import ALPHA
from robustprune.results.claims import CLEAN, WORST, right
from robustprune.results.records import CaseResult
from robustprune.results.runs import ENOUGH, Pair, spread_of_changes
from robustprune.results.significance import holm
from robustprune.results.statistics import paired_seeds
from robustprune.results.words import percent, points

if TYPE_CHECKING:
    from pandas import DataFrame

Rule = Literal["samples", "samples and runs"]
RULES: tuple[Rule, ...] = ("samples", "samples and runs")
ENDS = ("contradicted", "unconfirmed", "confirmed")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What one run of a suite says of one comparison: its difference, and its p-value by each rule."""

    about: tuple[str, ...]
    """Kind, measure, and what is compared."""
    difference: float
    p: tuple[float, float]
    """Unadjusted, in the order of RULES."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A significant statement of run `run`, and what became of it in the other runs."""

    rule: Rule
    run: int
    about: tuple[str, ...]
    difference: float
    others: tuple[float, ...]
    end: str


def statements(cases: Sequence[CaseResult]) -> Iterator[Statement]:
    """Yield everything that one run of a suite compares: contests of strategies, and changes from the parent."""
    groups = group(cases)
    changed = [one for one in groups if one.parents is not None and not one.first.as_given]
    for measure in (WORST, CLEAN):
        for contest in contests_of(groups, measure):
            if contest.same_blocks or contest.found.runs < ENOUGH:
                continue
            mine, other = contest.ours.first, contest.theirs.first
            about = (
                "contest",
                measure,
                mine.family,
                str(len(mine.removed)),
                f"{mine.strategy} beside {other.strategy}",
            )
            p = _p_samples(contest.pairs, measure), contest.found.p
            yield Statement(about=about, difference=contest.found.difference, p=p)
        spreads = spread_of_changes([one.pairs for one in changed], measure)
        for one in changed:
            found = difference(one, measure, spreads=spreads)
            if found is not None and found.runs >= ENOUGH:
                about = ("change", measure, one.first.family, str(one.removed), one.first.strategy)
                p = _p_samples(one.pairs, measure), found.p
                yield Statement(about=about, difference=found.difference, p=p)


def sentences(runs: Sequence[Sequence[CaseResult]]) -> list[Sentence]:
    """Return every significant sentence of every run, by each rule, with what the other runs make of it."""
    said = [{one.about: one for one in statements(cases)} for cases in runs]
    found = []
    for place, rule in enumerate(RULES):
        significant = [_significant(list(one.values()), place) for one in said]
        for run, mine in enumerate(significant):
            for about in (about for about in said[run] if about in mine):
                others = [one for number, one in enumerate(said) if number != run]
                signs = tuple(one[about].difference if about in one else 0.0 for one in others)
                value = said[run][about].difference
                against = any(
                    about in theirs and said[number][about].difference * value < 0
                    for number, theirs in enumerate(significant)
                    if number != run
                )
                alike = all(sign * value > 0 for sign in signs)
                end = "contradicted" if against else "confirmed" if alike else "unconfirmed"
                found.append(Sentence(rule=rule, run=run + 1, about=about, difference=value, others=signs, end=end))
    return found


def tallied(found: Sequence[Sentence]) -> DataFrame:
    """Count how the sentences ended, by rule and kind."""
    from pandas import DataFrame

    rows = []
    for kind in dict.fromkeys(one.about[0] for one in found):
        for rule in RULES:
            ends = [one.end for one in found if one.rule == rule and one.about[0] == kind]
            counts = {end: ends.count(end) for end in ENDS}
            share = percent(counts["confirmed"] / len(ends)) if ends else "-"
            rows.append(
                {"kind": kind, "unit of the rule": rule, "sentences": len(ends), **counts, "share confirmed": share}
            )
    return DataFrame(rows)


def listed(found: Sequence[Sentence]) -> DataFrame:
    """List the sentences, one a row: who says it by which rule, and the differences in the other runs, in points."""
    from pandas import DataFrame

    rows = [
        [one.rule, one.run, *one.about, points(one.difference), " ".join(map(points, one.others)), one.end]
        for one in found
    ]
    about = ["kind", "measure", "model", "blocks removed", "about"]
    return DataFrame(rows, columns=["unit of the rule", "run", *about, "points", "in the other runs", "end"])


def to_markdown(found: Sequence[Sentence], runs: int) -> str:
    """Write the study: the counts, then every sentence about two strategies."""
    text = (
        f"{runs} runs of one suite with other seeds throughout: parents, fine-tuning, scoring, samples, starts of "
        "attacks. A significant sentence (p < 0.05 after Holm, within its run) is confirmed where every other run has "
        "its sign, contradicted where another run says the opposite significantly, else unconfirmed. A run in which "
        "two strategies removed the same blocks has no difference, so it confirms nothing. Contest: a consensus beside "
        "a criterion; change: a strategy beside its parent."
    )
    contests = listed([one for one in found if one.about[0] == "contest"]).drop(columns="kind")
    parts = [text]
    for title, table in (("", tallied(found)), ("Contests:", contests)):
        if len(table):
            parts += [*([title] if title else []), pipe([*table.columns], table.to_numpy().tolist())]
    return "\n\n".join([*parts, *([] if found else ["No run made a significant sentence."])]) + "\n"


def _significant(said: Sequence[Statement], place: int) -> set[tuple[str, ...]]:
    """Adjust the p-values of one kind and measure for their number, and keep what is significant."""
    families: dict[tuple[str, ...], list[Statement]] = {}
    for one in said:
        families.setdefault(one.about[:2], []).append(one)
    return {
        one.about
        for family in families.values()
        for one, p in zip(family, holm([one.p[place] for one in family]), strict=True)
        if p < ALPHA
    }


def _p_samples(pairs: Sequence[Pair], measure: str) -> float:
    news, olds = ([right(pair[side], measure) or [] for pair in pairs] for side in (0, 1))
    return paired_seeds(olds, news).p
