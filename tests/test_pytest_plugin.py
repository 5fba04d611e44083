import gzip
import json
import os
import re
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import pytest
from click.testing import CliRunner
from suite_files import TINY, evidence_taken_as_read, write_tiny

from robustprune import names
from robustprune.cli.verbs import main
from robustprune.errors import InputError
from robustprune.suite.files import suite_files

ONE_CASE = TINY.replace("seed=(0, 1)", "seed=(0,)").replace(", Strategy(criterion=DepthFirst(), remove=1)", "")


@pytest.fixture(scope="module")
def approved(tmp_path_factory):
    """A folder of suites as a user would have it: measured and approved."""
    folder = tmp_path_factory.mktemp("user")
    suite = write_tiny(folder, ONE_CASE)
    with evidence_taken_as_read():
        for words in (["run", suite, "--workers", "1"], ["approve", suite, "--by", "Ada", "--reason", "a test"]):
            result = CliRunner().invoke(main, [str(word) for word in words])
            assert result.exit_code == 0, result.output
    return folder


KEPT = forkserver
"""The module that holds the server of children: pytester forgets what is first imported in a run inside it."""

CLAIMS, CASES = 4, 3
"""Clean, two attacks and the worst case of each subject; the parent and two others."""
ALL = CASES * CLAIMS + CASES + (CASES - 1) + 1
"""With the evidence of every case, the policy of those that have a parent, and the blocks of the pruned one."""


def run(folder: Path, pytester: pytest.Pytester, *options: str):
    """In this process, which has torch already; with workers in one of its own."""
    start = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest_inprocess
    return start(str(folder / "suites"), "-p", "no:cacheprovider", "-ra", *options)


@contextmanager
def changed(folder: Path):
    """The content of the approved file, to be changed; written back at the end."""
    file = folder / "results/tiny/cases.json.gz"
    before = file.read_bytes()
    content = json.loads(gzip.decompress(before))
    yield content
    file.write_bytes(gzip.compress(json.dumps(content).encode()))


@pytest.fixture
def restored(approved):
    file = approved / "results/tiny/cases.json.gz"
    before = file.read_bytes()
    yield approved
    file.write_bytes(before)


def test_the_same_measurements_pass_claim_by_claim(approved, pytester):
    result = run(approved, pytester, "-v")
    result.assert_outcomes(passed=ALL)
    result.stdout.fnmatch_lines(["*net/cka-2/ft*PGD-3, Linf 12.75/255* PASSED*"])


def test_the_same_network_that_became_weaker_fails_and_says_what_broke(restored, pytester):
    with changed(restored) as content:
        better = content["cases"][-1]["outcomes"][-1]
        better["status"] = "r" * len(better["status"])
    result = run(restored, pytester, "--junitxml=out.xml", "--suite-summary=out.md", "--suite-sarif=out.sarif")
    assert result.ret == 1
    summary = (pytester.path / "out.md").read_text()
    assert summary.startswith("### robustprune: 1 FAIL, 12 PASS")
    assert "| FAIL | net/cka-2/ft | PGD-3, Linf 12.75/255 | 100.0 % |" in re.sub(" +", " ", summary)
    result.stdout.fnmatch_lines(["*net/cka-2/ft, PGD-3*FAIL, 100.0 % before,*the same networks; * newly broken: *"])
    assert "newly broken" in Path(pytester.path / "out.xml").read_text()
    results = json.loads((pytester.path / "out.sarif").read_text())["runs"][0]["results"]
    assert len(results) == ALL
    (error,) = [one for one in results if one["level"] == "error"]
    assert error["ruleId"] == "pgd-3-linf-12-75-255-since-it-was-approved"
    assert error["message"]["text"].startswith("FAIL: net/cka-2/ft: before 100.0 %; now ")
    assert error["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("suites/tiny.py")
    assert {one["kind"] for one in results if one is not error} == {"pass"}


def test_one_run_trained_again_cannot_be_said_and_fails_where_that_is_asked_for(restored, pytester):
    with changed(restored) as content:
        case = content["cases"][0]
        case["weights_hash"] = "another training"
        case["clean"][case["clean"].index(False)] = True
    result = run(restored, pytester, "--inconclusive-fails")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INCONCLUSIVE: net/parent, clean: -2.5 *points; one run says nothing about training*"])


def test_an_attack_with_other_settings_is_not_the_one_that_was_approved(restored, pytester):
    with changed(restored) as content:
        for case in content["cases"]:
            case["outcomes"][-1]["settings"]["steps"] = 20
    result = run(restored, pytester)
    result.assert_outcomes(passed=ALL - 9, failed=9)  # FGSM has the same threat model: its chain is another one
    result.stdout.fnmatch_lines(
        ["*PGD-3* is not the attack that was approved (steps 20 before, 3 now); approve it anew*"]
    )


def test_what_fails_the_suites_policy_fails_unless_it_was_accepted(restored, pytester):
    with changed(restored) as content:
        accepted = content["accepted"]
        content["accepted"] = []
    assert {one["who"] for one in accepted} == {"Ada"}
    suite = restored / "suites/tiny.py"
    write_tiny(restored, ONE_CASE.replace("max_clean_drop=0.05", "max_clean_drop=0.0, min_saving=0.9"))
    try:
        failed = run(restored, pytester)
        failed.assert_outcomes(passed=ALL - 2, failed=2)
        failed.stdout.fnmatch_lines(["*net/cka-2/ft/seed0: FAIL by the suite's policy: saving: *it PASSed when*"])
        words = ["approve", str(suite), "--by", "Bo"]
        assert CliRunner().invoke(main, words).exit_code == 2
        said = CliRunner().invoke(main, [*words, "--reason", "the saving is for later"])
        assert "accepted: net/cka-2/ft/seed0: FAIL: saving" in said.output
        assert "finds in 80 % of the trials" in said.output
        passed = run(restored, pytester)
        passed.assert_outcomes(passed=ALL)
        passed.stdout.fnmatch_lines(["accepted when it was approved, although the policy says otherwise: 2 FAIL"])
    finally:
        write_tiny(restored, ONE_CASE)


def test_other_blocks_than_approved_fail(restored, pytester):
    with changed(restored) as content:
        content["cases"][-1]["removed"] = content["cases"][-1]["removed"][:1]
    result = run(restored, pytester)
    result.assert_outcomes(passed=ALL - 1, failed=1)
    result.stdout.fnmatch_lines(["*net/cka-2/ft/seed0 removed 2 blocks where 1 were approved: *"])


def test_what_was_never_approved_is_skipped_with_the_reason(approved, pytester):
    result = run(approved, pytester, f"--suite-results={approved / 'elsewhere'}")
    assert "never approved" in result.stdout.str()
    assert result.parseoutcomes()["skipped"] >= CASES * CLAIMS


def test_a_case_that_left_the_suite_is_named(restored, pytester):
    with changed(restored) as content:
        content["cases"].append({**content["cases"][-1], "case": "net/gone/seed0"})
    result = run(restored, pytester)
    result.stdout.fnmatch_lines(["left out: 1 approved cases of tiny are no longer in the suite, first net/gone/seed0"])


def test_measuring_that_fails_is_not_tried_again_for_every_test(pytester):
    text = ONE_CASE.replace("data=digits", "data=broken").replace("build = partial", BROKEN + "build = partial")
    write_tiny(pytester.path, text)
    result = run(pytester.path, pytester)
    result.assert_outcomes(failed=ALL)
    assert (pytester.path / "tries").read_text() == "x"


BROKEN = """
from pathlib import Path


def broken():
    with open("tries", "a") as file:
        file.write("x")
    raise RuntimeError("no disk")


"""


def test_a_long_suite_runs_only_when_asked_and_is_named(approved, pytester):
    suite = write_tiny(approved, ONE_CASE.replace("minutes=0.1", "minutes=50"))
    try:
        result = run(approved, pytester)
        result.assert_outcomes()
        told = ["left out: tiny costs about 50 minutes; name its file or give --long-suites*"]
        result.stdout.fnmatch_lines(told)
        run(approved, pytester, "-n", "2").stdout.fnmatch_lines(told)
        named = pytester.runpytest_inprocess(str(suite), "-p", "no:cacheprovider")
        named.assert_outcomes(passed=ALL)
        run(approved, pytester, "--long-suites").assert_outcomes(passed=ALL)
    finally:
        write_tiny(approved, ONE_CASE)


def test_missing_data_is_skipped_with_one_line(pytester):
    """What the option names is forgotten at the end: another run in this process looks where it looked before."""
    before = os.environ.get("ROBUSTPRUNE_DATA")
    text = ONE_CASE.replace("import digits", "import cifar10").replace("data=digits", "data=cifar10")
    write_tiny(pytester.path, text)
    result = run(pytester.path, pytester, f"--suite-data={pytester.path}")
    result.assert_outcomes(skipped=ALL)
    result.stdout.fnmatch_lines(["*CIFAR-10 is neither in*"])
    assert os.environ.get("ROBUSTPRUNE_DATA") == before


def test_a_suite_that_cannot_be_imported_is_an_error_of_one_line(pytester):
    write_tiny(pytester.path, "from robustprune.suite import Suite\nSUITE = 1 / 0")
    result = run(pytester.path, pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*tiny.py: cannot be imported: ZeroDivisionError*"])


def test_somebody_elses_suite_is_left_alone_and_not_imported(pytester):
    """The name SUITE is common; the second file is one that pytest has no business with."""
    tests = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\nSUITE = unittest.TestSuite()\n"
    pytester.makepyfile(test_mine=tests, settings="raise SystemExit('imported')\nSUITE = ['small', 'large']\n")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_suite_is_known_by_what_it_imports_directly_or_by_a_file_beside_it(tmp_path):
    texts = {
        "mine": "from robustprune.suite import Suite\nSUITE = Suite()",
        "lazy": "def make():\n    import robustprune.suite\nSUITE: object = make()",
        "by_helper": "from helper import make\nSUITE = make()",
        "helper": "import mine_too\nfrom robustprune.suite import Suite",
        "theirs": "import unittest\nSUITE = unittest.TestSuite()",
        "circle": "import circle_too\nSUITE = 1",
        "circle_too": "import circle",
        "broken": "from robustprune.suite import (\nSUITE = 3",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    found = {file.stem for file in suite_files(tmp_path)}
    assert found == {"mine", "lazy", "by_helper", "broken"}


def test_an_import_that_never_ends_is_stopped_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "IMPORT_SECONDS", 0.2)
    (tmp_path / "forever.py").write_text("while True:\n    pass\n")
    with pytest.raises(InputError, match=r"forever\.py: importing it takes longer than 0\.2 seconds"):
        names.import_file(tmp_path / "forever.py")
