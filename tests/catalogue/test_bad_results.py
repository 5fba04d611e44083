"""Stored results that say nonsense, or that somebody else has written: refused in one line, wherever they are read."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import pytest
from made_up import case, checks, outcome
from suite_files import TINY

from robustprune.results.records import packed, save, to_record
from robustprune.run.latest import SIGNATURE, keep
from robustprune.suite.files import load_suite

CLEAN = [True, True, True, False] * 10
ROW = "rrbe" * 10


def made(name: str = "net/parent", **fields: Any) -> Any:
    """One measured case of the tiny suite, as far as results go."""
    return case(CLEAN, [outcome("FGSM", ROW), outcome("PGD-3", ROW)], suite="tiny", case=name, **fields)


GOOD = {"schema": 1, "cases": [to_record(made(checks=checks(c2="pass")))]}


def changed(*place: object, to: object) -> Callable[[], bytes]:
    """The good results with another value at one place."""

    def write() -> bytes:
        content = json.loads(json.dumps(GOOD))
        inner = content
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = to
        return gzip.compress(json.dumps(content).encode())

    return write


FIRST = ("cases", 0)
ATTACK = (*FIRST, "outcomes", 0)
NONSENSE = {
    "nothing": (lambda: b"", "not a results file"),
    "text": (lambda: b"hello", "not a results file"),
    "no gzip": (lambda: json.dumps(GOOD).encode(), "not a results file"),
    "a cut file": (lambda: packed([made()])[:-20], "not a results file"),
    "one bit": (lambda: flipped(packed([made()])), "not a results file"),
    "no JSON": (lambda: gzip.compress(b"{"), "not a results file"),
    "a number": (lambda: gzip.compress(b"7"), "schema int, expected 1"),
    "a list": (lambda: gzip.compress(b"[]"), "schema list, expected 1"),
    "a later schema": (changed("schema", to=99), "schema 99, expected 1"),
    "no cases": (lambda: gzip.compress(b'{"schema": 1}'), "expected a list of cases"),
    "cases of text": (changed("cases", to="all"), "expected a list of cases"),
    "a case of text": (changed(*FIRST, to="all"), "cases[0]"),
    "deep nesting": (lambda: gzip.compress(b'{"schema": 1, "cases": ' + b"[" * 10**5), "not a results file"),
    "a surrogate": (changed(*FIRST, "model", to="\udc80"), "model="),
    "a name of two lines": (changed(*FIRST, "case", to="a\nb"), "case="),
    "an escape": (changed(*FIRST, "strategy", to="\x1b[31m"), "strategy="),
    "two of one name": (changed("cases", to=GOOD["cases"] * 2), "two cases are named"),
    "macs of null": (changed(*FIRST, "cost", "macs", to=None), "macs=None"),
    "macs below 0": (changed(*FIRST, "cost", "macs", to=-1), "macs=-1"),
    "latency of a list": (changed(*FIRST, "cost", "latency_ms", to=[1, 2]), "latency_ms=[1, 2]"),
    "memory of NaN": (changed(*FIRST, "cost", "memory_bytes", to=nan), "memory_bytes=nan"),
    "eps of text": (changed(*ATTACK, "eps", to="8/255"), "eps='8/255'"),
    "eps below 0": (changed(*ATTACK, "eps", to=-1), "eps=-1"),
    "an odd letter": (changed(*ATTACK, "status", to="x" * 40), "letters of e, r, b, p and f"),
    "a short row": (changed(*ATTACK, "status", to="rrr"), "has 3 values, expected 40"),
    "steps of text": (changed(*ATTACK, "steps", to=["1"] * 40), "steps"),
    "an attack twice": (changed(*FIRST, "outcomes", to=GOOD["cases"][0]["outcomes"][:1] * 2), "stands there twice"),
    "trust HACKED": (changed(*FIRST, "trust", to="HACKED"), "trust='HACKED'"),
    "labels below 0": (changed(*FIRST, "labels", to=[-1] * 40), "labels"),
    "fewer labels": (changed(*FIRST, "labels", to=[0, 1]), "expected 2"),
    "clean of numbers": (changed(*FIRST, "clean", to=[1] * 40), "clean"),
    "a block twice": (changed(*FIRST, "blocks", to=["a", "a"]), "blocks"),
    "a strange block gone": (changed(*FIRST, "removed", to=["none"]), "none of its blocks"),
    "a check of text": (changed(*FIRST, "checks", to=["all"]), "checks[0]"),
    "a check that went odd": (changed(*FIRST, "checks", 0, "status", to="fine"), "status='fine'"),
    "a field too many": (changed(*FIRST, "verdict", to="PASS"), "unknown"),
    "a seed of 2**64": (changed(*FIRST, "seed", to=2**64), "seed="),
    "an infinite distance": (changed(*ATTACK, "distance", to=[1e999] * 40), "distance"),
}


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense(what, sandbox):
    write, said = NONSENSE[what]
    suite = sandbox.suite()
    file, good = sandbox.work / "cases.json.gz", sandbox.work / "good.json.gz"
    file.write_bytes(write())
    save([made()], good)
    sandbox.refuses(["compare", file, good], said)
    sandbox.refuses(["compare", good, file], said)
    for place in (sandbox.work / "results" / "tiny", sandbox.work / ".robustprune" / "latest" / "tiny"):
        place.mkdir(parents=True)
        shutil.copy(file, place)
        sandbox.refuses(["report", suite], said)
    sandbox.refuses(["approve", suite, "--reason", "none"], said)


@pytest.fixture
def latest(sandbox):
    """Results of every case of the tiny suite, as a run of this user leaves them."""
    names = [one.id for one in load_suite(sandbox.suite()).cases]
    file = sandbox.work / ".robustprune/latest/tiny/cases.json.gz"
    others = {"parent": names[0], "strategy": "cka", "recipe": "ft"}
    keep([made(name, **({} if name == names[0] else others)) for name in names], file)
    return file


def test_what_this_user_measured_is_believed(sandbox, latest):
    assert sandbox.call("approve", "tiny", "--reason", "a test").exit_code == 0
    assert sandbox.call("report", "tiny").exit_code == 0
    assert sandbox.call("compare", "results/tiny", latest).exit_code == 0


def unsigned(file: Path) -> None:
    file.with_name(file.name + SIGNATURE).unlink()


def beautified(file: Path) -> None:
    content = json.loads(gzip.decompress(file.read_bytes()))
    content["cases"][1]["outcomes"][0]["status"] = "rrre" * 10
    file.write_bytes(gzip.compress(json.dumps(content).encode()))


def of_another_suite(file: Path) -> None:
    other = file.parent.with_name("other") / file.name
    keep([made()], other)
    for name in (file.name, file.name + SIGNATURE):
        other.with_name(name).replace(file.with_name(name))
    other.parent.rmdir()


@pytest.mark.parametrize("how", [unsigned, beautified, of_another_suite])
def test_latest_results_that_this_user_did_not_measure(how, sandbox, latest):
    how(latest)
    for words in (
        ["report", "tiny"],
        ["approve", "tiny", "--reason", "none"],
        ["export", "tiny", "net/parent", "--output", "out"],
        ["compare", latest, latest.parent],
    ):
        sandbox.refuses(words, "not measured here: no run of this user has signed it")


@pytest.mark.parametrize(
    ("other", "said"),
    [({"sample_hash": "others"}, "other samples"), ({"case": "other/parent"}, "no case in common")],
)
def test_a_baseline_of_something_else(other, said, sandbox):
    for name, fields in (("now", {}), ("before", other)):
        fields = {"name": fields.pop("case", "net/parent"), **fields}
        save([made(**fields)], sandbox.work / f"{name}.json.gz")
    sandbox.refuses(["compare", "before.json.gz", "now.json.gz"], said)


def test_results_that_lack_cases_are_not_approved(sandbox):
    sandbox.suite(TINY)
    keep([made()], sandbox.work / ".robustprune/latest/tiny/cases.json.gz")
    sandbox.refuses(["approve", "tiny", "--reason", "none"], "lack 6 cases")
