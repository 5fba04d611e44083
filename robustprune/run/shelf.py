"""Where things lie on disk, and what the verbs of the command line do with them.

`results/<suite>/` holds what was approved and is committed. `.robustprune/` beside it holds the store of finished
measurements and the latest results of every suite; it is local and only saves work: of what lies there, only what this
user's own runs have signed is believed (own.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from robustprune import results
from robustprune.errors import InputError
from robustprune.files import elsewhere, writable, write_all, write_whole
from robustprune.policy.accepted import acceptance
from robustprune.policy.policy import judge_all
from robustprune.report import written
from robustprune.report.baseline import power_table
from robustprune.results.records import Accepted, CaseResult
from robustprune.run.latest import LOCAL, keep, measured_here, stated
from robustprune.run.own import own_store
from robustprune.run.shards import CASES, Shard, keep_shard, share
from robustprune.run.store import Store
from robustprune.suite.cases import Suite

if TYPE_CHECKING:
    from robustprune.run.executors import Executor

BASELINE = CASES


TABLE = written.TABLE


QUICK = " (quick)"


STORE = "store"


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The folders of one suite."""

    approved: Path
    latest: Path
    store: Store


def shelf(suite: Suite, folder: Path | None = None, shard: Shard | None = None) -> Shelf:
    """Choose the folders: those given, else `results/` beside the `suites/` folder that the suite file is in.

    Where nothing can be written there, store and latest results lie in the user's cache.
    """
    home = suite.file.parent if suite.file else Path.cwd()
    home = home.parent if home.name == "suites" else home
    folder = folder or home / "results"
    local = local_folder(folder)
    latest = local / "latest" / (suite.name + QUICK * suite.quick + (f" ({shard})" if shard else ""))
    return Shelf(approved=folder / suite.name, latest=latest, store=own_store(local / STORE))


def local_folder(results: Path) -> Path:
    """Choose the folder for what need not be kept, beside a folder of results; where it can be written."""
    local = results.parent / LOCAL
    return local if writable(local) else elsewhere(results)


def measure_suite(
    suite: Suite,
    place: Shelf,
    *,
    device: str = "cpu",
    workers: int | None = None,
    executor: Executor | None = None,
    force: bool = False,
    shard: Shard | None = None,
) -> list[CaseResult]:
    """Run what is missing, showing progress on stderr, and keep the results as the latest; or one shard of them.

    Where something is missing the suite is inspected first: what cannot work stops before anything is trained.
    """
    from robustprune.run.inspection import inspected
    from robustprune.run.progress import Display
    from robustprune.run.suite import run_suite

    store = replace(place.store, run=uuid.uuid4().hex) if force else place.store
    wanted = suite.cases if shard is None else share(suite.cases, shard)
    with Display(suite.name, len(wanted)) as display:
        look = partial(inspected, suite, device)
        cases = run_suite(
            suite, store, display, device=device, workers=workers, executor=executor, first=look, cases=wanted
        )
    if shard is None:
        keep(cases, place.latest / BASELINE)
    else:
        keep_shard(cases, suite, shard, place.latest)
    return cases


def write_tables(cases: Sequence[CaseResult], folder: Path) -> list[Path]:
    """Write the tables of results, as Markdown and CSV."""
    texts = written.files(cases)
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in texts]


def latest(place: Shelf, suite: Suite) -> list[CaseResult]:
    """Read the latest results of a suite, which have to be measured here, else the approved ones."""
    for folder, read in ((place.latest, measured_here), (place.approved, results.load)):
        if (folder / BASELINE).is_file():
            return read(folder / BASELINE)
    raise InputError(f"{suite.name}: no results yet; `robustprune run {suite.file or suite.name}` makes them")


def load_set(path: Path) -> list[CaseResult]:
    """Read results from a file, or from the folder that holds it."""
    return stated(path / BASELINE if path.is_dir() else path)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """What was approved: the files, what was accepted although it does not pass, and what can be seen from now on."""

    files: list[Path]
    accepted: list[Accepted]
    detectable: str
    dirty: int
    """Cases that were measured in a tree with changes that are not in its commit."""


def approve(suite: Suite, place: Shelf, *, who: str, when: str, why: str = "") -> Approval:
    """Make the latest results the ones that `pytest suites/` compares with. They must be whole.

    What FAILs the suite's own policy, or cannot be trusted, needs a reason (`why`), which is kept with it. Nothing is
    written before everything is made.
    """
    cases = measured_here(place.latest / BASELINE)
    missing = sorted({case.id for case in suite.cases} - {case.case for case in cases})
    if missing:
        raise InputError(
            f"{suite.name}: the latest results lack {len(missing)} cases, first {missing[0]}; run it whole"
        )
    accepted = acceptance(judge_all(cases, suite.policy), who=who, when=when, why=why)
    bad = [one for one in accepted if one.verdict in ("FAIL", "UNTRUSTED")]
    if bad and not why:
        raise InputError(
            f"{suite.name}: {len(bad)} of {len(cases)} cases are {bad[0].verdict} by the suite's policy, first "
            f"{bad[0].case}: {bad[0].reasons[0]}; `--reason TEXT` accepts them, and keeps the reason with them"
        )
    seen = power_table(cases, suite.policy)
    texts = written.files(cases) | {"detectable.md": seen}
    contents = {name: text.encode() for name, text in texts.items()}
    write_all(place.approved, {BASELINE: results.packed(cases, accepted), **contents})
    files = [place.approved / name for name in [BASELINE, *texts]]
    dirty = sum(bool(case.environment.get("dirty")) for case in cases)
    return Approval(files=files, accepted=accepted, detectable=seen, dirty=dirty)
