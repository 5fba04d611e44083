"""Killed, damaged, run twice at once: the next run ends with the same results, and nothing is left running."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mini_suite import write_mini
from suite_files import Silent

from robustprune.errors import InputError
from robustprune.models import weights_hash
from robustprune.results import load
from robustprune.results.records import to_record
from robustprune.run.bench import open_bench
from robustprune.run.network import KEPT
from robustprune.run.networks import parent_network
from robustprune.run.store import Store, origins
from robustprune.run.suite import run_suite
from robustprune.suite.files import load_suite

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
KILLS = int(os.environ.get("ROBUSTPRUNE_KILLS", "0"))
"""So many kills of the suite ROBUSTPRUNE_KILLED_SUITE are made, by hand: each costs a start, and one record in LOST."""

LOST = 40


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small suite, measured in this process."""
    folder = tmp_path_factory.mktemp("mini")
    suite, store = load_suite(write_mini(folder)), Store(folder=folder / "store")
    return suite, store, run_suite(suite, store, Silent(), workers=1)


def untimed(cases):
    """Results as plain data, without what a clock says, and where they were made."""
    records = [to_record(case) for case in cases]
    for record in records:
        record["cost"] = {name: value for name, value in record["cost"].items() if not name.startswith("latency")}
        record["outcomes"] = [{**outcome, "seconds": 0} for outcome in record["outcomes"]]
        del record["environment"]
    return records


def test_a_store_of_which_every_file_is_damaged_gives_the_same_results(measured, tmp_path):
    suite, store, results = measured
    copied, listener = replace(store, folder=tmp_path), Silent()
    touched = replace(store, origin={}, readonly=True)
    run_suite(suite, touched, Silent(), workers=1, cases=suite.cases[:2])
    shutil.copytree(store.folder, tmp_path, dirs_exist_ok=True)
    files = sorted(path for path in tmp_path.glob("*/*"))
    contents = [path.read_bytes() for path in files]
    for number, (path, content) in enumerate(zip(files, contents, strict=True)):
        flipped = content[:-9] + bytes([content[-9] ^ 4]) + content[-8:]
        path.write_bytes([flipped, content[:-1], b"", b"[]", contents[number - 1]][number % 5])
    again = run_suite(suite, copied, listener, workers=1, cases=suite.cases[:2])
    assert untimed(again) == untimed(results[:2])
    told = {stage.partition(" is damaged")[0] for _, stage in listener.stages if "is damaged" in stage}
    assert {str(Path(path).with_suffix("").relative_to(tmp_path)) for path in told} >= {*touched.origin}


def started(suite: Path, workers: int = 2, **variables: str) -> subprocess.Popen[str]:
    """The program, at work on a suite."""
    words = [sys.executable, "-c", "from robustprune.cli import main; main()"]
    words += ["run", str(suite), "--workers", str(workers)]
    there = {**os.environ, **variables}
    return subprocess.Popen(words, env=there, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def family(mark: str) -> dict[int, str]:
    """The processes that have a mark in their environment, and what they were started with."""
    found = {}
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and f"MARK={mark}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found[int(place.name)] = (place / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    return {process: command for process, command in found.items() if command}


def ended(suite: Path, run: subprocess.Popen[str] | None = None):
    """The results of a run that is let to its end: of one process, which is to end as several do."""
    run = run or started(suite, workers=1)
    _, said = run.communicate()
    assert run.returncode == 0, said
    return load(suite.parent.parent / ".robustprune" / "latest" / suite.stem / "cases.json.gz")


def records(suite: Path) -> dict[Path, int]:
    """The records in the store beside a suite, and which file each is."""
    return {path: path.stat().st_ino for path in (suite.parent.parent / ".robustprune" / "store").glob("*/*.json")}


def until(so, seconds=300.0):
    """Wait for something; fail where it does not come."""
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end
        time.sleep(0.02)


def killed(suite: Path, number: int, process: str, wait) -> str:
    """Run a suite and kill it after `wait`; return what it said. Nothing may be left of it after some seconds."""
    run = started(suite, MARK=(mark := f"{os.getpid()}-{time.monotonic_ns()}"))
    wait(run)
    at_work = family(mark)
    workers = [one for one, command in at_work.items() if "spawn_main" in command]
    target = max(workers) if process == "worker" and len(workers) > 1 else run.pid
    if run.poll() is None:
        os.kill(target, number)
    _, said = run.communicate()
    if run.returncode == 0:
        return said
    until(lambda: not family(mark), 5.0)
    expected = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number] if target == run.pid else 2
    assert run.returncode == expected, said
    assert "Traceback" not in said
    return said


@linux
@pytest.mark.slow
def test_killed_three_times_it_ends_as_if_nothing_had_been(measured, tmp_path):
    _, _, results = measured
    suite = write_mini(tmp_path)

    def one_more(run):
        before = len(records(suite))
        until(lambda: len(records(suite)) > before or run.poll() is not None)

    killed(suite, signal.SIGKILL, "main", one_more)
    assert records(suite)
    assert "robustprune: stopped; what was finished is kept" in killed(suite, signal.SIGTERM, "main", one_more)
    assert "give fewer --workers" in killed(suite, signal.SIGKILL, "worker", one_more)
    assert untimed(ended(suite)) == untimed(results)
    assert not [*tmp_path.rglob("*.lock")]


@linux
@pytest.mark.slow
def test_two_runs_at_once_make_everything_once(measured, tmp_path):
    _, _, results = measured
    suite = write_mini(tmp_path)
    runs, seen = [started(suite, workers=1), started(suite, workers=1)], dict[Path, int]()
    while any(run.poll() is None for run in runs):
        now = records(suite)
        assert now == now | seen, "a record was made twice"
        seen |= now
        time.sleep(0.02)
    for run in runs:
        assert untimed(ended(suite, run)) == untimed(results)


@linux
@pytest.mark.skipif(not KILLS, reason="by hand: ROBUSTPRUNE_KILLS=30 ROBUSTPRUNE_KILLED_SUITE=suites/digits.py")
def test_killed_at_random_moments_it_ends_with_the_same_table(tmp_path):
    """Of a finished store one record in so many is lost, drawn at random; the kill falls among those. Prints each."""
    file = Path(os.environ.get("ROBUSTPRUNE_KILLED_SUITE") or write_mini(tmp_path / "mini"))
    suite = tmp_path / "suites" / file.name
    shutil.copytree(file.parent, suite.parent)
    reference, drawn = untimed(ended(suite)), random.Random(0)
    number, whole = 0, len(records(suite))
    while number < KILLS:
        for record in drawn.sample(sorted(records(suite)), max(3, whole // LOST)):
            for part in record.parent.glob(f"{record.stem}.*"):
                part.unlink()
        left = len(records(suite))
        what, process = [
            (signal.SIGKILL, "main"),
            (signal.SIGTERM, "main"),
            (signal.SIGINT, "main"),
            (signal.SIGKILL, "worker"),
        ][number % 4]
        moment, later = left + drawn.randrange(max(3, whole // LOST)), drawn.uniform(0, 5)

        def wait(run, moment=moment, later=later):
            until(lambda: len(records(suite)) >= moment or run.poll() is not None, 600)
            time.sleep(later)

        said, found = killed(suite, what, process, wait), len(records(suite))
        assert untimed(ended(suite)) == reference
        if "Written:" in said:
            continue  # it had ended before
        number += 1
        print(f"{number}: {what.name} of {process}, {found - left} of {whole - left} made: the same table", flush=True)


def test_built_networks_are_let_go_and_come_back_the_same(measured):
    suite, store, _ = measured
    bench = open_bench(suite, replace(store, readonly=True), "cpu")
    networks = [parent_network(suite.cases[0].model, bench) for _ in range(KEPT + 3)]
    hashes = [weights_hash(network.model) for network in networks]
    assert ["model" in vars(network) for network in networks] == [False] * 3 + [True] * KEPT
    assert {*hashes, weights_hash(networks[0].model)} == {networks[0].weights}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@linux
def test_on_a_full_disk_what_was_finished_stays_and_the_next_run_goes_on(measured, small_disk):
    suite, store, results = measured
    copied = replace(store, folder=small_disk / "store", origin={})
    shutil.copytree(store.folder, copied.folder)
    for path in copied.folder.glob("cost/*"):
        path.unlink()
    finished = {path: path.read_bytes() for path in copied.folder.glob("*/*")}
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while file.write(b"x" * 512):
            pass
    with pytest.raises(InputError, match=r"cost/.*No space left on device; what was finished before is kept"):
        run_suite(suite, copied, Silent(), workers=1)
    assert {path: path.read_bytes() for path in copied.folder.glob("*/*")} == finished
    (small_disk / "filler").unlink()
    assert untimed(run_suite(suite, copied, Silent(), workers=1)) == untimed(results)
    assert origins(copied)["cost"] == {"measured": 2}
    assert "measured" not in origins(copied)["attacked"]
