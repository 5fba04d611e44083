"""Suites under pytest: one test for every case and claim, compared with the approved baseline.

`pytest suites/` collects every Python file with a module-level `SUITE`, in this repository or in a user's own. A suite
is measured, or found measured, when its first test runs. A test fails where the case became significantly weaker than
what was approved, and says where; what the samples are too few to say is shown as skipped, never as passed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robustprune.errors import InputError, MissingData
from robustprune.run.shelf import BASELINE
from robustprune.suite.files import defines_suite

if TYPE_CHECKING:
    from robustprune.results.records import CaseResult
    from robustprune.run.shelf import Shelf
    from robustprune.suite.cases import Suite


LONG_MINUTES = 10.0


LEFT_OUT = pytest.StashKey[list[str]]()


FINDINGS = pytest.StashKey["Findings"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of suites."""
    group = parser.getgroup("robustprune", "suites of robustprune")
    group.addoption("--long-suites", action="store_true", help="also run suites that cost over 10 minutes")
    group.addoption("--suite-device", default="cpu", metavar="DEVICE", help="cpu, cuda, mps")
    group.addoption("--suite-results", type=Path, metavar="DIR", help="folder of approved results")
    group.addoption("--suite-data", metavar="DIR", help="folder of data and weights [ROBUSTPRUNE_DATA]")
    group.addoption("--suite-summary", type=Path, metavar="FILE", help="write a Markdown summary, for a CI job to post")
    group.addoption("--inconclusive-fails", action="store_true", help="what the samples are too few to say fails")


def pytest_configure(config: pytest.Config) -> None:
    """Point the loaders at the data folder that was given; listen to what the tests find."""
    config.stash[LEFT_OUT] = []
    config.stash[FINDINGS] = Findings()
    config.pluginmanager.register(config.stash[FINDINGS])
    if config.getoption("--suite-data") is not None:
        os.environ["ROBUSTPRUNE_DATA"] = config.getoption("--suite-data")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a suite file."""
    if file_path.suffix == ".py" and defines_suite(file_path):
        return SuiteFile.from_parent(parent, path=file_path)
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which suites were left out and what could not be said; write the summary."""
    from robustprune.files import write_whole
    from robustprune.report.baseline import summary

    facts, left_out = config.stash[FINDINGS].facts, config.stash[LEFT_OUT]
    for one in facts:
        if one["verdict"] == "INCONCLUSIVE":
            line = f"{one['case']}, {one['claim']}: {one['difference']}, {one['samples needed']} samples needed"
            terminalreporter.write_line(f"INCONCLUSIVE: {line}")
    for line in left_out:
        terminalreporter.write_line(f"left out: {line}")
    if config.getoption("--suite-summary") is not None:
        write_whole(config.getoption("--suite-summary"), summary(facts, left_out).encode())


class Findings:
    """What became of each claim, also where the tests ran in other processes (pytest-xdist)."""

    def __init__(self) -> None:
        self.facts: list[dict[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what the test of a claim found."""
        found = dict(report.user_properties)
        if report.when == "call" and {"verdict", "case", "claim"} <= found.keys():
            self.facts.append({name: str(value) for name, value in found.items()})


class SuiteFile(pytest.File):
    """One suite; measured once, when its first test asks."""

    @cached_property
    def suite(self) -> Suite:
        """The suite that the file defines."""
        from robustprune.suite.files import load_suite

        try:
            return load_suite(self.path)
        except InputError as error:
            raise self.CollectError(str(error)) from None

    @cached_property
    def shelf(self) -> Shelf:
        """Where its results lie."""
        from robustprune.run.shelf import shelf

        return shelf(self.suite, self.config.getoption("--suite-results"))

    def collect(self) -> Iterator[pytest.Item]:
        """One test a case and claim, unless the suite is long and was not asked for."""
        from robustprune.results.claims import listed, titled
        from robustprune.run.attacked import for_network

        named = any(Path(arg.partition("::")[0]).resolve() == self.path for arg in self.config.args)
        if self.suite.minutes > LONG_MINUTES and not (named or self.config.getoption("--long-suites")):
            cost = f"{self.suite.name} costs about {self.suite.minutes:g} minutes"
            self.config.stash[LEFT_OUT].append(f"{cost}; name its file or give --long-suites to run it")
            return
        for case in self.suite.cases:
            attacks = for_network(tuple(self.suite.attacks), has_parent=case.parent_case is not None)
            for claim in ["evidence", *listed(titled(attack.name, attack.threat) for attack in attacks)]:
                yield ClaimTest.from_parent(self, name=f"{case.id}[{claim}]", case=case.id, claim=claim)

    @cached_property
    def measured(self) -> dict[str, CaseResult] | str:
        """Results by case, or the reason why there are none."""
        from robustprune.run.shelf import measure_suite

        try:
            cases = measure_suite(self.suite, self.shelf, device=self.config.getoption("--suite-device"))
        except MissingData as missing:
            return str(missing)
        return {case.case: case for case in cases}

    @cached_property
    def approved(self) -> dict[str, CaseResult]:
        """The approved results by case; empty where nothing was approved yet."""
        from robustprune import results

        file = self.shelf.approved / BASELINE
        return {case.case: case for case in results.load(file)} if file.is_file() else {}


class ClaimTest(pytest.Item):
    """One claim of one case against what was approved."""

    def __init__(self, *, case: str, claim: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.case, self.claim = case, claim

    def runtest(self) -> None:
        """Fail where weaker, skip where it cannot be said."""
        from robustprune.policy.baseline import change
        from robustprune.results.claims import claims

        file = self.getparent(SuiteFile)
        assert file is not None
        if isinstance(file.measured, str):
            pytest.skip(file.measured)
        now = file.measured[self.case]
        if self.claim == "evidence":
            return self._evidence(now)
        before = file.approved.get(self.case)
        if before is None:
            pytest.skip(f"{self.case} was never approved; `robustprune approve {file.path}` makes it the baseline")
        together = len(file.measured) * len(claims(now))
        found = change(now, before, self.claim, file.suite.policy, together)
        self.user_properties += list(found.facts.items())
        strict = self.config.getoption("--inconclusive-fails")
        if found.verdict == "FAIL" or (found.verdict == "INCONCLUSIVE" and strict):
            raise Weaker(str(found))
        if found.verdict == "INCONCLUSIVE":
            pytest.skip(str(found))

    def _evidence(self, now: CaseResult) -> None:
        """A number that cannot be believed fails, whatever it was before."""
        failed = [check for check in now.checks if check.status == "fail"]
        if now.trust == "INVALID":
            lines = "; ".join(f"check {check.number} {check.name}: {check.evidence}" for check in failed)
            raise Weaker(f"{now.case}: the attack cannot be believed: {lines}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Show one line for what this file is about, a traceback for everything else."""
        if isinstance(excinfo.value, Weaker | InputError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name the test."""
        return self.path, None, f"{self.case}: {self.claim}"


class Weaker(Exception):
    """A case is weaker than what was approved, or may be where that is not accepted."""
