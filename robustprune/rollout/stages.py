"""How far can this go? Prunes 10 %, 20 %, ... of what may go, reviews each, stops at the first that fails.

Choices. Every stage starts from the parent again: it is then the same network, by the same key, that `run`
would measure for that strategy, it was fine-tuned as long as every other stage, and what it is does not
depend on the size of the steps. Going on from the stage before would hand over a network that was
fine-tuned once a stage, beside which no control stands.

Stopping at the first stage that does not PASS is a test of hypotheses in a fixed order, which keeps the
level of one test without any correction (Maurer, Hothorn and Lehmacher 1995): a network that is truly worse
passes with the same small probability as in a single review. What the policy asks to GAIN (min_saving,
max_latency_ratio) cannot hold at the first stage, so it is left out on the way and judged at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from robustprune.cost import count_macs
from robustprune.errors import InputError
from robustprune.models import find_blocks
from robustprune.policy.findings import Verdict
from robustprune.policy.policy import Policy, judge
from robustprune.prune import choose, most_removable, remove
from robustprune.report.markdown import NONE
from robustprune.results.claims import CLEAN, WORST, named, right, share
from robustprune.results.records import CaseResult
from robustprune.results.words import percent, plural, points_between
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.networks import chosen, parent_network
from robustprune.suite.cases import Case, Suite

CONSENSUS = "consensus"

MOST_STAGES = 1000
"""Steps that are planned; one that takes no block more than the step before is no stage."""

Measure = Callable[[Case, Finished | None], Finished]
"""Measures one case, given its parent; None for the parent itself."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage that is planned: at most `share` of the removable MACs go, that are `blocks` blocks."""

    share: float
    blocks: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that was measured, judged by the policy without what it asks to gain."""

    step: Step
    finished: Finished
    verdict: Verdict

    @property
    def result(self) -> CaseResult:
        """What was measured."""
        return self.finished.result

    def saved(self, parent: CaseResult) -> float:
        """The share of the parent's MACs that is gone."""
        return 1 - self.result.cost.macs / parent.cost.macs


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """All stages that were measured; the last one may be the one that stopped it."""

    start: Finished
    """The parent."""
    stages: tuple[Stage, ...]
    final: Verdict | None
    """The last stage that passed, judged by the whole policy, gains included; None where none passed."""

    @property
    def parent(self) -> CaseResult:
        """What was measured of the parent."""
        return self.start.result

    @property
    def passed(self) -> Stage | None:
        """The last stage that passed; None where not even the first did."""
        return next((stage for stage in reversed(self.stages) if stage.verdict.verdict == "PASS"), None)

    @property
    def answer(self) -> str:
        """How far it can go, in one line."""
        last, best = self.stages[-1], self.passed
        stopped = "" if last is best else f"; {plural(last.step.blocks, 'block')}: {last.verdict.verdict}"
        if best is None:
            return f"no stage passed{stopped}"
        far = f"{plural(best.step.blocks, 'block')} can go, {100 * best.saved(self.parent):.1f} % of the MACs"
        return f"{far}{stopped}" if stopped else f"{far}; that is all that was asked for"


def choose_case(suite: Suite, model: str | None = None, criterion: str | None = None) -> Case:
    """Take the case of a suite whose model, strategy, recipe and seed every stage shares.

    Without names: the suite's only model, and its consensus, else its first criterion.
    """
    pruned = [case for case in suite.cases if case.strategy is not None]
    models = list(dict.fromkeys(case.model.name for case in pruned))
    if not models:
        raise InputError(f"suite {suite.name!r}: no case with a strategy; expected Strategy(criterion=..., remove=...)")
    if model is None and len(models) > 1:
        raise InputError(f"suite {suite.name!r}: several models, give --model: {', '.join(models)}")
    pruned = [case for case in pruned if case.model.name == (model or models[0])]
    by_criterion = {case.strategy.criterion.name: case for case in reversed(pruned) if case.strategy}
    known = list(reversed(by_criterion))
    wanted = criterion or (CONSENSUS if CONSENSUS in known else (known or [""])[0])
    if not pruned or wanted not in known:
        what, names = ("model", models) if not pruned else ("criterion", known)
        raise InputError(
            f"suite {suite.name!r}: no {what} {(wanted if pruned else model)!r}; known: {', '.join(names)}"
        )
    return by_criterion[wanted]


def check_steps(step: float, most: float) -> None:
    """Raise InputError for steps that lead nowhere, or are too many. Asked before anything is measured."""
    if not 0 < step <= 1 or not 0 < most <= 1:
        raise InputError(
            f"--step {step:g} --most {most:g}: expected shares of the removable cost, above 0 and at most 1"
        )
    if most / step > MOST_STAGES:
        raise InputError(f"--step {step:g} --most {most:g}: more than {MOST_STAGES} stages; expected larger steps")


def plan(costs: Sequence[int], step: float, most: float) -> list[Step]:
    """Turn shares of the removable cost into numbers of blocks; `costs`: of each block, in the order they go.

    A stage takes as many blocks as fit into its share, so it never goes further than it says. Stages that
    would take no block more than the one before are left out.

    >>> [(s.share, s.blocks) for s in plan([10] * 8, step=0.25, most=1.0)]
    [(0.25, 2), (0.5, 4), (0.75, 6), (1.0, 8)]
    """
    check_steps(step, most)
    total, steps, before = sum(costs), list[Step](), 0
    for number in range(1, math.ceil(most / step - 1e-9) + 1):
        share = min(round(number * step, 9), most)
        blocks = _fitting(costs, share * total * (1 + 1e-9))
        if blocks > before:
            steps.append(Step(share=share, blocks=blocks))
            before = blocks
    return steps


def removable_costs(case: Case, bench: Bench) -> list[int]:
    """MACs of the blocks that may go, in the order in which the case's criterion gives them up."""
    assert case.strategy is not None
    strategy = replace(case.strategy, remove=1, step=None, schedule="lowest", scored="current")
    start = parent_network(case.model, bench)
    scores = chosen(replace(case, strategy=strategy, recipe=None), start, bench).scores[strategy.criterion.name]
    blocks = find_blocks(start.model, bench.example, strategy.unit)
    count = most_removable(blocks, strategy.keep_per_stage, strategy.protect_first)
    order = choose(scores, blocks, count, strategy.keep_per_stage, strategy.protect_first)
    whole = count_macs(start.model, bench.example)
    by_name = {block.name: block for block in blocks}
    return [whole - count_macs(remove(start.model, [by_name[name]]), bench.example) for name in order]


def roll_out(case: Case, steps: Sequence[Step], policy: Policy, measure: Measure) -> Rollout:
    """Measure stage after stage until one does not pass. InputError where there is no step to take."""
    if not steps:
        raise InputError(f"{case.model.name}: no block fits into the first stages; give a larger --step or --most")
    assert case.strategy is not None
    parent = measure(Case(model=case.model), None)
    stages: list[Stage] = []
    for step in steps:
        finished = measure(replace(case, strategy=replace(case.strategy, remove=step.blocks)), parent)
        verdict = judge(finished.result, parent.result, lossless(policy))
        stages.append(Stage(step=step, finished=finished, verdict=verdict))
        if verdict.verdict != "PASS":
            break
    found = Rollout(start=parent, stages=tuple(stages), final=None)
    best = found.passed
    return replace(found, final=judge(best.result, parent.result, policy) if best else None)


def lossless(policy: Policy) -> Policy:
    """The policy without what it asks to gain.

    >>> lossless(Policy(min_saving=0.3)).min_saving
    0.0
    """
    return replace(policy, min_saving=0.0, max_latency_ratio=None)


def curve(found: Rollout) -> Iterator[dict[str, str]]:
    """Yield the rows of the table: the parent, then one stage each."""
    head = {"stage": "parent", "blocks": "0", "MACs saved": percent(0.0)}
    yield head | _accuracies(found.parent, None) | {"verdict": NONE}
    for stage in found.stages:
        yield {
            "stage": f"{100 * stage.step.share:g} %",
            "blocks": str(stage.step.blocks),
            "MACs saved": percent(stage.saved(found.parent)),
            **_accuracies(stage.result, stage.verdict),
            "verdict": stage.verdict.verdict,
        }


def _fitting(costs: Sequence[int], budget: float) -> int:
    """How many of the first costs fit into a budget."""
    spent, count = 0, 0
    for cost in costs:
        spent += cost
        if spent > budget:
            break
        count += 1
    return count


def _accuracies(result: CaseResult, verdict: Verdict | None) -> dict[str, str]:
    """Write clean and worst-case robust accuracy, and how the verdict saw the latter change."""
    clean, worst = (right(result, claim) for claim in (CLEAN, WORST))
    found = verdict.finding(named(WORST)) if verdict else None
    change = NONE
    if found is not None and found.difference is not None and found.low is not None and found.high is not None:
        change = points_between(found.difference, found.low, found.high)
    return {
        CLEAN: percent(share(clean)) if clean else NONE,
        f"robust, {WORST}": percent(share(worst)) if worst else NONE,
        "change, robust": change,
    }
