"""Where things lie on disk, and what the verbs of the command line do with them.

`results/<suite>/` holds what was approved and is committed. `.robustprune/` beside it holds the store of finished
measurements and the latest results of every suite; it is local and only saves work.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robustprune import results
from robustprune.errors import InputError
from robustprune.policy import Policy
from robustprune.results import CaseResult
from robustprune.store import Store, write_whole
from robustprune.suite import Suite, load_suite

BASELINE = "cases.json.gz"
TABLE = "table.md"
QUICK = " (quick)"


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The folders of one suite."""

    approved: Path
    latest: Path
    store: Store


def shelf(suite: Suite, folder: Path | None = None) -> Shelf:
    """Choose the folders: those given, else `results/` beside the `suites/` folder that the suite file is in."""
    home = suite.file.parent if suite.file else Path.cwd()
    home = home.parent if home.name == "suites" else home
    folder = folder or home / "results"
    local = folder.parent / ".robustprune"
    latest = local / "latest" / (suite.name + QUICK * suite.quick)
    return Shelf(approved=folder / suite.name, latest=latest, store=Store(folder=local / "store"))


def open_suite(where: str | Path, expression: str | None = None, quick: bool = False) -> Suite:
    """Load a suite; keep only the cases whose name holds `expression`, and their parents."""
    suite = load_suite(where)
    suite = suite.quickly() if quick else suite
    if expression is None:
        return suite
    chosen = [case for case in suite.cases if expression in case.id]
    if not chosen:
        some = ", ".join(case.id for case in list(suite.cases)[:5])
        raise InputError(f"-k {expression!r}: no case of {suite.name} has it in its name; cases are {some}, ...")
    return suite.only([*chosen, *(case.parent_case for case in chosen if case.parent_case is not None)])


def measure_suite(
    suite: Suite, place: Shelf, *, device: str = "cpu", workers: int | None = None, force: bool = False
) -> list[CaseResult]:
    """Run what is missing, showing progress on stderr, and keep the results as the latest.

    The suite is inspected first, so that what cannot work stops before anything is trained.
    """
    from robustprune.inspection import inspect
    from robustprune.progress import Display
    from robustprune.runner import run_suite

    list(inspect(suite, device))
    store = replace(place.store, since=time.time()) if force else place.store
    with Display(suite.name, len(suite.cases)) as display:
        cases = run_suite(suite, store, display, device=device, workers=workers)
    results.save(cases, place.latest / BASELINE)
    return cases


def write_tables(cases: Sequence[CaseResult], folder: Path) -> list[Path]:
    """Write the comparison table as Markdown and CSV."""
    files = {folder / TABLE: rendered(cases, "md"), folder / "table.csv": rendered(cases, "csv")}
    for file, text in files.items():
        write_whole(file, text.encode())
    return list(files)


def rendered(cases: Sequence[CaseResult], form: str, policy: Policy | None = None) -> str:
    """Show results as a Markdown, CSV or LaTeX table, or as one HTML page with verdicts by `policy`."""
    from robustprune.report.table import comparison, to_csv, to_latex, to_markdown

    if form == "html":
        from robustprune.policy import judge_all
        from robustprune.report.html import render
        from robustprune.report.pictures import suite_pictures

        verdicts = judge_all(cases, policy)
        return render(cases[0].suite, cases, verdicts=verdicts, policy=policy, pictures=suite_pictures(cases))
    text = {"md": to_markdown, "csv": to_csv, "tex": to_latex}[form](comparison(cases))
    return text + contest(cases) if form == "md" else text


def contest(cases: Sequence[CaseResult]) -> str:
    """What the numbers say about consensus beside every other criterion at the same budget, as Markdown."""
    from robustprune.report.standing import to_markdown
    from robustprune.report.table import strategies

    return to_markdown(strategies(cases))


def latest(place: Shelf, suite: Suite) -> list[CaseResult]:
    """Read the latest results of a suite, else the approved ones."""
    for folder in (place.latest, place.approved):
        if (folder / BASELINE).is_file():
            return results.load(folder / BASELINE)
    raise InputError(f"{suite.name}: no results yet; `robustprune run {suite.file or suite.name}` makes them")


def load_set(path: Path) -> list[CaseResult]:
    """Read results from a file, or from the folder that holds it."""
    return results.load(path / BASELINE if path.is_dir() else path)


def approve(suite: Suite, place: Shelf) -> list[Path]:
    """Make the latest results the ones that `pytest suites/` compares with. They must be whole."""
    cases = results.load(place.latest / BASELINE)
    missing = sorted({case.id for case in suite.cases} - {case.case for case in cases})
    if missing:
        raise InputError(
            f"{suite.name}: the latest results lack {len(missing)} cases, first {missing[0]}; run it whole"
        )
    place.approved.mkdir(parents=True, exist_ok=True)
    results.save(cases, place.approved / BASELINE)
    return [place.approved / BASELINE, *write_tables(cases, place.approved)]


def suite_files(folder: Path) -> list[Path]:
    """Python files below `folder` that define a SUITE."""
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    return [file for file in files if defines_suite(file)]


def defines_suite(file: Path) -> bool:
    """True for a file with a module-level `SUITE = ...`, or one that may have it but does not parse. No import."""
    try:
        text = file.read_text()
        if "SUITE" not in text:
            return False
        body = ast.parse(text).body
    except (OSError, UnicodeDecodeError):
        return False
    except SyntaxError:
        return "\nSUITE" in f"\n{text}"
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "SUITE" for target in targets)
