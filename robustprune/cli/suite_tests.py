"""What pytest asks of a suite: can it be believed, does it pass its policy, did it become weaker.

There are three kinds of tests: can the attacks on a case be believed; does it pass the suite's own policy, or was it
accepted although it does not; and, over all runs of a subject, did a claim become significantly weaker than what was
approved. What samples and runs are too few to say is shown as skipped, never as passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robustprune.cli.suite_child import Plan, measured_by, plan_of
from robustprune.errors import InputError, MissingData
from robustprune.run.shelf import BASELINE

if TYPE_CHECKING:
    from robustprune.policy.baseline import Change
    from robustprune.results.records import Accepted, CaseResult


LONG_MINUTES = 10.0


LEFT_OUT = pytest.StashKey[list[str]]()


class SuiteFile(pytest.File):
    """One suite; measured once, when its first test asks, in a process of its own."""

    failure_shown = False
    """Whether a test has shown why nothing could be measured."""

    @cached_property
    def plan(self) -> Plan:
        """What the suite holds, as its child tells it: no code of a suite runs in the process of pytest."""
        try:
            return plan_of(self.path, self.config.getoption("--suite-results"))
        except InputError as error:
            raise self.CollectError(str(error)) from None

    def collect(self) -> Iterator[pytest.Item]:
        """Tests of every case, then of every subject and claim, unless the suite is long and was not asked for."""
        from robustprune.policy.blocks import CLAIM as BLOCKS

        plan = self.plan
        named = any(Path(arg.partition("::")[0]).resolve() == self.path for arg in self.config.args)
        if plan.minutes > LONG_MINUTES and not (named or self.config.getoption("--long-suites")):
            cost = f"{plan.name} costs about {plan.minutes:g} minutes"
            self.config.stash[LEFT_OUT].append(f"{cost}; name its file or give --long-suites to run it")
            return
        for case in plan.cases:
            yield EvidenceTest.from_parent(self, name=f"{case.id}[evidence]", case=case.id, claim="evidence")
            if case.compared:
                yield PolicyTest.from_parent(self, name=f"{case.id}[policy]", case=case.id, claim="policy")
        pruned = dict.fromkeys(case.subject for case in plan.cases if case.pruned)
        for subject, claims in {case.subject: case.claims for case in plan.cases}.items():
            if subject in pruned:
                yield BlocksTest.from_parent(self, name=f"{subject}[{BLOCKS}]", case=subject, claim=BLOCKS)
            for claim in claims:
                yield ClaimTest.from_parent(self, name=f"{subject}[{claim}]", case=subject, claim=claim)

    @cached_property
    def measured(self) -> dict[str, CaseResult] | Exception:
        """Results by case, or why there are none: then nothing is tried again for the next test."""
        try:
            cases = measured_by(self.path, self.config.getoption("--suite-results"), self.device, self.plan)
        except Exception as error:
            return error
        return {case.case: case for case in cases}

    @property
    def device(self) -> str:
        """Where to measure."""
        return str(self.config.getoption("--suite-device"))

    @property
    def results(self) -> dict[str, CaseResult]:
        """Results by case. The test is skipped where the data is missing, and fails where measuring failed.

        The first test shows where it failed, the others say it in one line: a traceback grows each time it is raised.
        """
        if isinstance(self.measured, MissingData):
            pytest.skip(str(self.measured))
        if isinstance(self.measured, Exception):
            if self.failure_shown or isinstance(self.measured, InputError):
                reason = " ".join(str(self.measured).split()) or "no reason given"
                raise InputError(f"measuring failed: {type(self.measured).__name__}: {reason}")
            self.failure_shown = True
            raise self.measured
        return self.measured

    @cached_property
    def approved(self) -> dict[str, CaseResult]:
        """The approved results by case; empty where nothing was approved yet."""
        from robustprune import results

        file = self.plan.approved / BASELINE
        return {case.case: case for case in results.load(file)} if file.is_file() else {}

    @cached_property
    def accepted(self) -> list[Accepted]:
        """What was accepted although it does not pass the policy."""
        from robustprune import results

        return results.load_accepted(self.plan.approved / BASELINE) if self.approved else []

    @cached_property
    def changes(self) -> dict[tuple[str, str], Change] | InputError:
        """What became of every claim since it was approved, or why that cannot be said."""
        from robustprune.policy.baseline import changes

        gone = [name for name in self.approved if name not in self.results]
        if gone:
            line = f"{len(gone)} approved cases of {self.plan.name} are no longer in the suite, first {gone[0]}"
            self.config.stash[LEFT_OUT].append(line)
        try:
            found = changes([*self.results.values()], [*self.approved.values()], self.plan.policy)
        except InputError as error:
            return error
        return {(one.subject, one.claim): one for one in found}


class SuiteTest(pytest.Item):
    """One thing that is asked of a measured suite."""

    def __init__(self, *, case: str, claim: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.case, self.claim = case, claim

    @property
    def suite_file(self) -> SuiteFile:
        """The suite."""
        file = self.getparent(SuiteFile)
        assert file is not None
        return file

    @property
    def now(self) -> CaseResult:
        """What was measured of the case."""
        return self.suite_file.results[self.case]

    def decide(self, verdict: str, line: str) -> None:
        """Fail, skip or pass, with a line."""
        strict = self.config.getoption("--inconclusive-fails")
        if verdict in ("FAIL", "UNTRUSTED") or (verdict == "INCONCLUSIVE" and strict):
            raise Weaker(line)
        if verdict == "INCONCLUSIVE":
            pytest.skip(line)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Show one line for what this file is about, a traceback for everything else."""
        if isinstance(excinfo.value, Weaker | InputError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name the test."""
        return self.path, None, f"{self.case}: {self.claim}"


class EvidenceTest(SuiteTest):
    """A number that cannot be believed fails, whatever it was before."""

    def runtest(self) -> None:
        """Look at the validity checks."""
        self.user_properties += [("case", self.case), ("evidence", self.now.trust)]
        failed = [check for check in self.now.checks if check.status == "fail"]
        if self.now.trust == "INVALID":
            lines = "; ".join(f"check {check.number} {check.name}: {check.evidence}" for check in failed)
            raise Weaker(f"{self.case}: the attack cannot be believed: {lines}")


class PolicyTest(SuiteTest):
    """A case before the suite's own policy."""

    def runtest(self) -> None:
        """Fail where it FAILs and that was not accepted when it was approved."""
        from robustprune.policy.accepted import ruling
        from robustprune.policy.policy import judge

        file, now = self.suite_file, self.now
        verdict = judge(now, file.results[str(now.parent)], file.plan.policy)
        found = ruling(verdict, file.accepted, approved=self.case in file.approved)
        self.user_properties += [("case", self.case), ("policy", verdict.verdict), ("line", found.line)]
        self.decide(found.verdict, found.line)


class BlocksTest(SuiteTest):
    """The choice of one subject against what was approved."""

    def runtest(self) -> None:
        """Fail where other blocks were removed from the same parent."""
        from robustprune.policy.blocks import choices

        file = self.suite_file
        for found in choices([*file.results.values()], [*file.approved.values()]):
            if found.subject == self.case:
                self.user_properties += list(found.facts.items())
                return self.decide(found.verdict, str(found))
        pytest.skip(f"{self.case}: nothing was approved that begins with the same parents")


class ClaimTest(SuiteTest):
    """One claim of one subject against what was approved."""

    def runtest(self) -> None:
        """Fail where weaker, skip where it cannot be said."""
        file = self.suite_file
        if isinstance(file.changes, InputError):
            raise file.changes
        found = file.changes.get((self.case, self.claim))
        if found is None:
            pytest.skip(f"{self.case} was never approved; `robustprune approve {file.path}` makes it the baseline")
        self.user_properties += list(found.facts.items())
        self.decide(found.verdict, str(found))


class Weaker(Exception):
    """A case is weaker than what was approved, or may be where that is not accepted."""
