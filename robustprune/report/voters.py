"""The criteria as voters, in tables: how far they agree, what each decides in a consensus, which blocks they let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from robustprune.report.markdown import NONE, Part, Row
from robustprune.results.agreement import kendall_w, mean_correlations
from robustprune.results.records import CaseResult
from robustprune.results.voters import Candidate, LeftOut, Run, candidates, left_out, runs_of, voted, weights_of
from robustprune.results.words import plural

if TYPE_CHECKING:
    from pandas import DataFrame

AGREE = "How far the criteria agree"
DECIDES = "What each voter decides"
LETS_GO = "Which blocks each criterion lets go"


def parts(cases: Sequence[CaseResult]) -> Iterator[Part]:
    """Yield what there is to say of the criteria; nothing where no network was scored by two of them."""
    runs = _scored(cases)
    for family in dict.fromkeys(run.family for run in runs):
        own = [run for run in runs if run.family == family]
        yield f"{AGREE}, {family}", (_concordance(own), CORRELATIONS), _correlations(own)
    decided = [*left_out(runs)]
    if decided:
        equal = all(one.weight == 1 for one in decided)
        yield DECIDES, (_about_votes(runs),), [_decision(one, equal) for one in decided]
    for family in dict.fromkeys(run.family for run in runs):
        rows = _lets_go([one for one in candidates(runs) if one.family == family])
        yield f"{LETS_GO}, {family}", (HALVES,), rows


CORRELATIONS = (
    "Spearman's rank correlation between the criteria's scores of the blocks, mean over the runs: criteria that agree "
    "are one voice, not many, in a consensus."
)

HALVES = (
    "In how many per cent of the runs (networks and seeds) a block is a candidate: in the criterion's lowest half. In "
    "parentheses, at the numbers of blocks that the suite removes: in how many it is among those to go."
)


def frame(cases: Sequence[CaseResult]) -> DataFrame:
    """Return a row a model, criterion and block: runs, mean_rank (1: first to go), lowest_half and chosen (shares).

    Empty where no network was scored by two criteria.
    """
    from pandas import DataFrame

    found = [*candidates(_scored(cases))]
    names = {"family": "model", "lowest": "lowest_half", "rank": "mean_rank"}
    return DataFrame([{names.get(name, name): value for name, value in vars(one).items()} for one in found])


def _scored(cases: Sequence[CaseResult]) -> list[Run]:
    """The runs in which two criteria or more scored two blocks or more: of less there is no order to compare."""
    return [run for run in runs_of(cases) if len(run.votes) > 1 and len(next(iter(run.votes.values()))) > 1]


def _concordance(runs: Sequence[Run]) -> str:
    """Say Kendall's W of the voters of each consensus, or of all criteria where there is none."""
    found: dict[str, list[float]] = {}
    for run in runs:
        voting = {
            f"the {len(one.voters)} voters of {one.strategy}": one.voters for one in run.choices if len(one.voters) > 1
        }
        for name, voters in (voting or {f"all {len(run.votes)} criteria": tuple(run.votes)}).items():
            blocks = [*run.votes[voters[0]]]
            w = kendall_w([[run.votes[voter][block] for block in blocks] for voter in voters])
            found.setdefault(name, []).extend([w] if w == w else [])
    said = [f"{name}, {_mean_and_range(values)}" for name, values in found.items() if values]
    return f"Kendall's W (1: one order; 0: no agreement): {'; '.join(said) or 'not defined'}."


def _mean_and_range(values: Sequence[float]) -> str:
    between = f" ({min(values):.2f} to {max(values):.2f} over {plural(len(values), 'run')})" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{between}"


def _correlations(runs: Sequence[Run]) -> list[Row]:
    mean = mean_correlations([run.votes for run in runs])
    return [
        {"criterion": name, **{other: _hundredths(value) for other, value in row.items()}} for name, row in mean.items()
    ]


def _hundredths(value: float) -> str:
    return NONE if value != value else f"{round(value, 2) + 0.0:.2f}"


def _about_votes(runs: Sequence[Run]) -> str:
    """Say how the table of decisions was made, and how far such votes are the rule of these cases."""
    known, weights = [(run, choice) for run in runs for choice in run.choices if choice.voters], weights_of(runs)
    same = sum(voted(run, choice, weights[choice.strategy]) == choice.removed for run, choice in known)
    equal = all(weight == 1 for some in weights.values() for weight in some.values())
    how = "with one vote each (rank sum)" if equal else "by their weighted ranks, with the weights that the scores show"
    return (
        f"Each voter of a consensus left out in turn, the others {how}, at the same number of "
        f"blocks. With all voters such {'equal ' * equal}votes take what was removed in {same} of "
        f"{plural(len(known), 'case')}. "
        "Changed: in how many runs other blocks go; blocks: how many, on average; then which, and in how many runs."
    )


def _decision(one: LeftOut, equal: bool) -> Row:
    """The row of a voter; where all weigh the same their weights are not shown."""
    stay, go = (Counter(block for moved in one.moved for block in moved[side]) for side in (0, 1))
    return {
        "model": one.family,
        "strategy": one.strategy,
        "blocks removed": str(one.count),
        "voter left out": one.voter,
        **({} if equal else {"weight": f"{one.weight:.2f}"}),
        "changed": f"{one.changed} of {len(one.moved)}",
        "blocks": f"{one.blocks:.1f}",
        "then stay": _counted(stay),
        "then go": _counted(go),
    }


def _counted(blocks: Counter[str]) -> str:
    return ", ".join(f"{block} ({count})" for block, count in blocks.most_common()) or NONE


def _lets_go(found: Sequence[Candidate]) -> list[Row]:
    """A row a criterion, a column a block."""
    rows: dict[str, Row] = {}
    blocks = dict.fromkeys(one.block for one in found)
    for one in found:
        chosen = NONE if one.chosen is None else f"{100 * one.chosen:.0f}"
        row = rows.setdefault(one.criterion, {"criterion": one.criterion, **dict.fromkeys(blocks, NONE)})
        row[one.block] = f"{100 * one.lowest:.0f} ({chosen})"
    return [*rows.values()]
