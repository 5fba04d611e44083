"""What the criteria of a suite said of the same network, run by run, and what each voter of a consensus decides.

A run is one network with one seed; the scores are those first measured on it. What a case removed tells by which rule
blocks were taken from its scores: how many each stage keeps is a number with which they give these very blocks, where
there are several the one that fits most cases. Those that none fits (they scored anew in between, say) take no part in
what is said of choices. What a voter weighs in a consensus is not written down, but shows: a weighted sum of ranks that
gives its scores in every run has one set of weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from robustprune.results.agreement import Votes, lowest, rank_sums, ranks, taken
from robustprune.results.records import CaseResult

Weights = Mapping[str, float]
"""Voter -> weight of its ranks."""

CLOSE, DIGITS = 1e-6, 9
"""Rounding in a sum of ranks, and the digits within which two sums are equal."""

KEPT = (0, 1, 2, 3)
"""How many blocks a stage may keep."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """By which rule a case took its blocks: so many, of each stage all but `keep`; and who voted where it combines."""

    strategy: str
    count: int
    keep: int
    voters: tuple[str, ...]
    removed: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One network of a family, in one run: what all criteria say of its blocks, and what was taken."""

    family: str
    votes: Votes
    """Of every criterion, each consensus and its voters among them; blocks in order of depth."""
    combined: tuple[str, ...]
    """Those of them that combine others."""
    choices: tuple[Taken, ...]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What a consensus takes otherwise without one voter, over the runs."""

    family: str
    strategy: str
    count: int
    voter: str
    weight: float
    """Of its votes, 1 on average over the voters."""
    moved: tuple[tuple[frozenset[str], frozenset[str]], ...]
    """Run by run, the blocks that then stay, and those that go in their place."""

    @property
    def changed(self) -> int:
        """In how many runs the choice is another one."""
        return sum(bool(stay) for stay, _ in self.moved)

    @property
    def blocks(self) -> float:
        """How many blocks of the choice change, on average over the runs."""
        return fmean(len(stay) for stay, _ in self.moved)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """How often a criterion would let a block go, over the runs of a family."""

    family: str
    criterion: str
    block: str
    runs: int
    rank: float
    """The mean over the runs, 1 for the first to go."""
    lowest: float
    """Share of the runs in which it is in the criterion's lowest half."""
    chosen: float | None
    """Share of the runs, at all budgets of the suite, in which it is among those to go; None where none is known."""


def runs_of(cases: Sequence[CaseResult]) -> list[Run]:
    """Gather what was said of every network that was scored, in order of the cases.

    Blocks of another unit are another run; of two scores of one criterion the first counts.
    """
    scored: dict[tuple[str, str, str, int, tuple[str, ...]], list[CaseResult]] = {}
    for case in cases:
        if case.scores:
            blocks = tuple(next(iter(case.scores.values())))
            scored.setdefault((case.family, case.units, case.model, case.seed, blocks), []).append(case)
    fits = Counter(keep for some in scored.values() for case in some for keep in _fitting(case))
    usual = sorted(KEPT, key=lambda keep: (-fits[keep], keep))
    return [_run(family, some, usual) for (family, *_), some in scored.items()]


def _run(family: str, cases: Sequence[CaseResult], usual: Sequence[int]) -> Run:
    votes: dict[str, dict[str, float]] = {}
    for case in cases:
        for name, scores in case.scores.items():
            votes.setdefault(name, scores)
    combined = dict.fromkeys(_own(case) for case in cases if case.combines)
    choices = (choice for case in cases if (choice := _taken(case, usual)) is not None)
    return Run(family=family, votes=votes, combined=tuple(combined), choices=tuple(dict.fromkeys(choices)))


def _own(case: CaseResult) -> str:
    """The criterion of a case; its strategy may say more, such as that it is iterative."""
    return max(
        (name for name in case.scores if case.strategy.startswith(name)), key=len, default=next(iter(case.scores))
    )


def _fitting(case: CaseResult) -> list[int]:
    """The numbers of blocks that each stage may have kept: with them the scores give what the case removed."""
    scores, removed = case.scores[_own(case)], {*case.removed}
    return [keep for keep in KEPT if removed and taken(scores, len(removed), keep) == removed]


def _taken(case: CaseResult, usual: Sequence[int]) -> Taken | None:
    fitting, own = _fitting(case), _own(case)
    if not fitting:
        return None
    return Taken(
        strategy=case.strategy,
        count=len(case.removed),
        keep=next(keep for keep in usual if keep in fitting),
        voters=tuple(name for name in case.scores if name != own) if case.combines else (),
        removed=frozenset(case.removed),
    )


def left_out(runs: Sequence[Run]) -> Iterator[LeftOut]:
    """Yield what every voter of every consensus decides, at each number of blocks, over the runs of a family."""
    found: dict[tuple[str, str, int, str], list[tuple[frozenset[str], frozenset[str]]]] = {}
    weights = weights_of(runs)
    for run in runs:
        for choice in run.choices:
            for voter in choice.voters if len(choice.voters) > 1 else ():
                key = run.family, choice.strategy, choice.count, voter
                found.setdefault(key, []).append(_moved(run, choice, weights[choice.strategy], voter))
    for (family, strategy, count, voter), moved in found.items():
        weight = weights[strategy][voter]
        yield LeftOut(family=family, strategy=strategy, count=count, voter=voter, weight=weight, moved=tuple(moved))


def _moved(run: Run, choice: Taken, weights: Weights, voter: str) -> tuple[frozenset[str], frozenset[str]]:
    whole, rest = voted(run, choice, weights), voted(run, choice, weights, voter)
    return frozenset(whole - rest), frozenset(rest - whole)


def voted(run: Run, choice: Taken, weights: Weights, without: str = "") -> set[str]:
    """Return the blocks that go by the weighted ranks of all voters but `without`, by the rule of the choice."""
    votes = {name: run.votes[name] for name in choice.voters if name != without}
    sums = rank_sums(votes, weights)
    return taken({block: round(value, DIGITS) for block, value in sums.items()}, choice.count, choice.keep)


def weights_of(runs: Sequence[Run]) -> dict[str, Weights]:
    """Return for every strategy that combines criteria what each voter weighs, 1 on average.

    All weigh 1 where equal votes give its scores, and where no weights do, or many: then nothing is known of them.
    """
    found: dict[str, Weights] = {}
    for strategy in dict.fromkeys(choice.strategy for run in runs for choice in run.choices if choice.voters):
        own = [(run, choice.voters) for run in runs for choice in run.choices if choice.strategy == strategy]
        every = dict.fromkeys(voter for _, voters in own for voter in voters)
        found[strategy] = _weights([run.votes for run, _ in own], strategy, [*every]) or dict.fromkeys(every, 1.0)
    return found


def _weights(runs: Sequence[Votes], strategy: str, voters: Sequence[str]) -> Weights | None:
    """Solve for the weights with which the sum of the voters' ranks is the strategy's score of every block."""
    import numpy as np

    name = max((name for name in runs[0] if strategy.startswith(name)), key=len, default="")
    if any(one not in votes for votes in runs for one in (name, *voters)):
        return None
    table = [[ranks([votes[voter][block] for block in votes[name]]) for voter in voters] for votes in runs]
    places = np.concatenate([np.array(rows).T for rows in table])
    scores = np.concatenate([[*votes[name].values()] for votes in runs])
    if np.allclose(places.sum(axis=1), scores, rtol=0, atol=CLOSE):
        return None
    weights, _, rank, _ = np.linalg.lstsq(places, scores, rcond=None)
    if rank < len(voters) or not np.allclose(places @ weights, scores, rtol=0, atol=CLOSE):
        return None
    return dict(zip(voters, (weights / weights.mean()).tolist(), strict=True))


def candidates(runs: Sequence[Run]) -> Iterator[Candidate]:
    """Yield how often each block is a candidate under each criterion, family by family; blocks in order of depth."""
    for family in dict.fromkeys(run.family for run in runs):
        own = [run for run in runs if run.family == family]
        for criterion in dict.fromkeys(name for run in own for name in run.votes):
            some = [run for run in own if criterion in run.votes]
            for block in dict.fromkeys(block for run in some for block in run.votes[criterion]):
                yield _candidate(criterion, block, [run for run in some if block in run.votes[criterion]])


def _candidate(criterion: str, block: str, runs: Sequence[Run]) -> Candidate:
    scores = [run.votes[criterion] for run in runs]
    places = [dict(zip(one, ranks([*one.values()]), strict=True))[block] for one in scores]
    rules = [sorted({(choice.count, choice.keep) for choice in run.choices}) for run in runs]
    gone = [block in taken(one, count, keep) for one, known in zip(scores, rules, strict=True) for count, keep in known]
    return Candidate(
        family=runs[0].family,
        criterion=criterion,
        block=block,
        runs=len(runs),
        rank=fmean(places),
        lowest=fmean(block in lowest(one) for one in scores),
        chosen=fmean(gone) if gone else None,
    )
