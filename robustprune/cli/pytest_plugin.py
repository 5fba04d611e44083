"""Suites under pytest: every case before its policy, and every claim beside the approved baseline.

`pytest suites/` collects every Python file with a module-level `SUITE`, in this repository or in a user's own. A suite
is measured, or found measured, when its first test runs; suite_tests.py has the tests. This file has the options, and
what is said at the end.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from robustprune.cli.data_folder import looking_in
from robustprune.cli.suite_sarif import Told, judgements
from robustprune.cli.suite_tests import LEFT_OUT, SuiteFile
from robustprune.suite.files import defines_suite

FINDINGS = pytest.StashKey["Findings"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of suites."""
    group = parser.getgroup("robustprune", "suites of robustprune")
    group.addoption("--long-suites", action="store_true", help="also run suites that cost over 10 minutes")
    group.addoption("--suite-device", default="cpu", metavar="DEVICE", help="cpu, cuda, mps")
    group.addoption("--suite-results", type=Path, metavar="DIR", help="folder of approved results")
    group.addoption("--suite-data", metavar="DIR", help="folder of data and weights [ROBUSTPRUNE_DATA]")
    group.addoption("--suite-summary", type=Path, metavar="FILE", help="write a Markdown summary, for a CI job to post")
    group.addoption("--suite-sarif", type=Path, metavar="FILE", help="write the findings as SARIF 2.1.0")
    group.addoption("--inconclusive-fails", action="store_true", help="what cannot be said fails")


def pytest_configure(config: pytest.Config) -> None:
    """Point the loaders at the data folder that was given; listen to what the tests find."""
    config.stash[LEFT_OUT] = []
    config.stash[FINDINGS] = Findings()
    config.pluginmanager.register(config.stash[FINDINGS])
    config.pluginmanager.register(FromWorkers())
    pointed = ExitStack()
    pointed.enter_context(looking_in(config.getoption("--suite-data")))
    config.add_cleanup(pointed.close)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a suite file."""
    if file_path.suffix == ".py" and defines_suite(file_path):
        return SuiteFile.from_parent(parent, path=file_path)
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which suites were left out and what could not be said; write the summary."""
    from robustprune.files import write_whole
    from robustprune.report.baseline import accepted_line, summary
    from robustprune.report.sarif import to_sarif

    facts, said = config.stash[FINDINGS].facts, config.stash[LEFT_OUT]
    left_out, accepted = [*dict.fromkeys(said)], config.stash[FINDINGS].accepted
    for one in facts:
        if one["verdict"] == "INCONCLUSIVE":
            line = f"{one['case']}, {one['claim']}: {one['difference']}; {one['needed']}"
            terminalreporter.write_line(f"INCONCLUSIVE: {line}")
    if accepted:
        terminalreporter.write_line(accepted_line(accepted))
    for line in left_out:
        terminalreporter.write_line(f"left out: {line}")
    if config.getoption("--suite-summary") is not None:
        write_whole(config.getoption("--suite-summary"), summary(facts, left_out, accepted).encode())
    if config.getoption("--suite-sarif") is not None:
        text = to_sarif(judgements(config.stash[FINDINGS].told), "suites")
        write_whole(config.getoption("--suite-sarif"), text.encode())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what a worker of pytest-xdist left out to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash[LEFT_OUT]


class FromWorkers:
    """Hears the workers of pytest-xdist; registered where there are some."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Keep what a worker left out: every worker collects all suites, so it is the same for all."""
        left_out: list[str] = getattr(node, "workeroutput", {}).get("left_out", [])
        node.config.stash[LEFT_OUT].extend(left_out)


class Findings:
    """What became of each claim, also where the tests ran in other processes (pytest-xdist)."""

    def __init__(self) -> None:
        self.facts: list[dict[str, str]] = []
        self.accepted: list[str] = []
        self.told: list[Told] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what the test of a claim found."""
        found = {name: str(value) for name, value in report.user_properties}
        if report.when == "call" and "case" in found:
            self.told.append(Told(file=report.location[0], outcome=report.outcome, facts=found))
        if report.when == "call" and {"verdict", "case", "claim"} <= found.keys():
            self.facts.append(found)
        if report.when == "call" and report.passed and found.get("policy", "PASS") != "PASS":
            self.accepted.append(found["policy"])
