"""The attacks as tables: what an attacker knows and may spend, and which attack carries the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustprune.report.markdown import NONE, Part, Row
from robustprune.results.claims import title
from robustprune.results.each import each
from robustprune.results.optimality import Reach, best
from robustprune.results.records import BROKEN, CaseResult, Outcomes
from robustprune.results.words import plural

BUDGETS = "What an attacker knows and may spend"
CARRIES = "Which attack carries the verdict"
ONE_BY_ONE = "Accuracy under each corruption"

UNSTATED = "not stated"


def parts(cases: Sequence[CaseResult]) -> Iterator[Part]:
    """Yield what there is to say of the attacks; nothing where none ran."""
    budgets = {title(outcome): budget(outcome) for case in cases for outcome in case.outcomes}
    if budgets:
        spent = (
            "Queries (passes forward) and gradient passes on one sample are part of the threat: the most that each "
            "attack may make, not what it took. An attack that minimises makes a run again where the network refuses "
            "its result, which is counted."
        )
        yield BUDGETS, (spent,), [*budgets.values()]
    tried = [row for case in cases for row in one_by_one(case)]
    if tried:
        columns = dict.fromkeys(name for row in tried for name in row)
        yield ONE_BY_ONE, (DEFINED,), [{name: row.get(name, NONE) for name in columns} for row in tried]
    measured = [case for case in cases if case.reach]
    rows = [row for case in measured for row in carriers(case)]
    if rows:
        yield CARRIES, (explained(measured), *(line for case in measured for line in above(case))), rows


def budget(outcome: Outcomes) -> Row:
    """Say what an attack knows, and what it may spend on a sample at most."""
    return {
        "attack": outcome.attack,
        "threat": outcome.threat,
        "knowledge": outcome.knowledge or UNSTATED,
        "queries": number(outcome.allowed_forwards),
        "gradient passes": number(outcome.allowed_backwards),
    }


DEFINED = (
    "In per cent of all samples; a clean error counts as an error under every corruption. Mean: over the corruptions. "
    "All at once: the samples that are right under every one of them, which is what the main table shows. Worst: the "
    "corruption that fewest withstand."
)


def one_by_one(case: CaseResult) -> Iterator[Row]:
    """Yield a row for each attack of a case that tried its transforms one by one."""
    for outcome in case.outcomes:
        found = each(outcome)
        if found is not None:
            worst, _ = found.worst
            together = f"{100 * sum(outcome.robust) / found.n:.1f}"
            head = {"network": case.case, "threat": outcome.threat, "mean": f"{100 * found.mean:.1f}"}
            shares = {name: f"{100 * share:.1f}" for name, share in found.shares.items()}
            yield {**head, "all at once": together, "worst": worst, **shares}


def number(count: int | None) -> str:
    """Write a count.

    >>> number(5001), number(None)
    ('5,001', 'not stated')
    """
    return UNSTATED if count is None else f"{count:,}"


def explained(measured: Sequence[CaseResult]) -> str:
    """Say how the table of carriers was made."""
    sizes = "; ".join(f"{case.case}: {plural(len(case.reach[0].breaks), 'sample')}" for case in measured)
    return (
        "Local optimality (AttackBench, arXiv 2404.19460): how much of what all attacks of a norm win together, the "
        "area above robust accuracy over eps, an attack wins on its own: 1 is as strong as all at every eps. Each "
        "was made alone on the same samples, with nothing known from the others, at eps from a quarter of the threat's "
        f"to at least four times it, or to all that it can be ({sizes}). Broken alone: of these samples, "
        "those right, at the threat's eps; only by it: no other attack of the norm breaks them there. Decided: samples "
        "of the suite's own run that fell to this attack and to none before it in the chain. "
        "Passes: forward and backward, on its own, all eps."
    )


def carriers(case: CaseResult) -> Iterator[Row]:
    """Yield a row for each attack of a case whose reach was measured."""
    known = {(reach.attack, reach.norm): reach for reach in case.reach}
    for outcome in case.outcomes:
        reach = known.get((outcome.attack, outcome.norm))
        if reach is None:
            continue
        mine = within(reach, outcome.eps)
        others = [within(one, outcome.eps) for one in of_norm(case, outcome.norm) if one is not reach]
        yield {
            "network": case.case,
            "attack": outcome.attack,
            "threat": outcome.threat,
            "local optimality": NONE if reach.optimality is None else f"{reach.optimality:.2f}",
            "broken alone": f"{len(mine)} of {sum(eps != 0 for eps in reach.breaks)}",
            "only by it": str(len(mine.difference(*others))),
            "decided": f"{outcome.status.count(BROKEN)} of {sum(case.clean)}",
            "passes": f"{reach.forwards:,} + {reach.backwards:,}",
        }


def of_norm(case: CaseResult, norm: str) -> list[Reach]:
    """Return what was measured under a norm."""
    return [reach for reach in case.reach if reach.norm == norm]


def within(reach: Reach, eps: float) -> set[int]:
    """Return the samples that are right and that the attack breaks at `eps`."""
    return {row for row, at in enumerate(reach.smallest) if 0 < at <= eps}


def above(case: CaseResult) -> Iterator[str]:
    """Yield by how much the curve of an attack that minimises, one run for all eps, lies above that of all attacks."""
    for outcome in case.outcomes:
        reach = next((one for one in of_norm(case, outcome.norm) if one.attack == outcome.attack), None)
        if reach is None or not reach.minimises:
            continue
        together = best([one.smallest for one in of_norm(case, outcome.norm)])
        missed = sum(0 < at <= outcome.eps for at in together) - len(within(reach, outcome.eps))
        yield (
            f"{case.case}: the curve of {title(outcome)}, one run for all eps, lies "
            f"{100 * missed / len(together):.1f} points above that of all attacks together at its eps."
        )
