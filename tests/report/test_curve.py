"""The curve of a roll-out says what its verdicts say."""

from __future__ import annotations

import made_up

from robustprune.policy.policy import Policy, judge
from robustprune.results.claims import named
from robustprune.results.words import points_between
from robustprune.rollout.hand_over import record, table
from robustprune.rollout.stages import Rollout, Stage, Step, curve
from robustprune.run.case import Finished


def network(kept: int, blocks: int, **fields):
    status = "r" * kept + "b" * (100 - kept)
    outcomes = [made_up.outcome("PGD-20", status)]
    return made_up.case([True] * 100, outcomes, cost=made_up.cost(9 - blocks), **fields)


PARENT = network(60, 0)
RESULT = network(50, 3, case="net/cka-3", parent=PARENT.case, removed=made_up.BLOCKS[:3])
VERDICT = judge(RESULT, PARENT, Policy())
FOUND = Rollout(
    start=Finished(measured=None, result=PARENT),
    stages=(Stage(step=Step(share=0.3, blocks=3), finished=Finished(measured=None, result=RESULT), verdict=VERDICT),),
    final=None,
)


def test_a_stage_shows_the_finding_that_judged_it():
    first, stage = curve(FOUND)
    assert (first["stage"], first["robust, worst case"], first["change, robust"]) == ("parent", "60.0 %", "-")
    assert (stage["blocks"], stage["MACs saved"], stage["clean"]) == ("3", "30.0 %", "100.0 %")
    finding = VERDICT.finding(named("worst case"))
    assert stage["change, robust"] == points_between(finding.difference, finding.low, finding.high)
    assert stage["change, robust"].startswith("-10.0 [")
    assert stage["verdict"] == VERDICT.verdict == "FAIL"


def test_the_table_has_a_row_a_stage_and_the_record_every_finding():
    rows = [line for line in table(FOUND).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2
    (stage,) = record(FOUND, "stage it")["stages"]
    assert (stage["robust"], stage["clean"], stage["removed"]) == (0.5, 1.0, RESULT.removed)
    assert [one["measure"] for one in stage["findings"]] == [one.measure for one in VERDICT.findings]
