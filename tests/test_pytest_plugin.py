import gzip
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from suite_files import TINY, write_tiny

from robustprune.cli.verbs import main

ONE_CASE = TINY.replace("seed=(0, 1)", "seed=(0,)").replace(", Strategy(criterion=DepthFirst(), remove=1)", "")


@pytest.fixture(scope="module")
def approved(tmp_path_factory):
    """A folder of suites as a user would have it: measured and approved."""
    folder = tmp_path_factory.mktemp("user")
    suite = write_tiny(folder, ONE_CASE)
    for words in (["run", str(suite), "--workers", "1"], ["approve", str(suite)]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
    return folder


def run(folder: Path, pytester: pytest.Pytester, *options: str):
    return pytester.runpytest_subprocess(str(folder / "suites"), "-p", "no:cacheprovider", "-ra", *options)


def test_the_same_measurements_pass_claim_by_claim(approved, pytester):
    result = run(approved, pytester, "-v")
    result.assert_outcomes(passed=3 * 5)
    result.stdout.fnmatch_lines(["*net/cka-2/ft/seed0*PGD-3, Linf 12.75/255* PASSED*"])


def test_a_weaker_case_fails_and_says_what_broke(approved, pytester):
    file = approved / "results/tiny/cases.json.gz"
    before = file.read_bytes()
    content = json.loads(gzip.decompress(before))
    better = content["cases"][-1]["outcomes"][-1]
    better["status"] = "r" * len(better["status"])
    try:
        file.write_bytes(gzip.compress(json.dumps(content).encode()))
        result = run(approved, pytester, "--junitxml=out.xml", "--suite-summary=out.md")
    finally:
        file.write_bytes(before)
    assert result.ret == 1
    summary = (pytester.path / "out.md").read_text()
    assert summary.startswith("### robustprune: 1 FAIL, 1 INCONCLUSIVE, 10 PASS")
    assert "| FAIL | net/cka-2/ft/seed0 | PGD-3, Linf 12.75/255 | 100.0 % |" in re.sub(" +", " ", summary)
    result.stdout.fnmatch_lines(["*net/cka-2/ft/seed0, PGD-3*FAIL, 100.0 % before,*samples newly broken: *"])
    assert "newly broken" in Path(pytester.path / "out.xml").read_text()


def test_what_cannot_be_said_is_shown_and_fails_where_that_is_asked_for(approved, pytester):
    file = approved / "results/tiny/cases.json.gz"
    before = file.read_bytes()
    content = json.loads(gzip.decompress(before))
    clean = content["cases"][0]["clean"]
    clean[clean.index(False)] = True
    try:
        file.write_bytes(gzip.compress(json.dumps(content).encode()))
        result = run(approved, pytester, "--inconclusive-fails")
    finally:
        file.write_bytes(before)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INCONCLUSIVE: net/parent, clean: -2.5 *points, *samples needed"])


def test_what_was_never_approved_is_skipped_with_the_reason(approved, pytester, tmp_path):
    result = run(approved, pytester, f"--suite-results={approved / 'elsewhere'}")
    assert "never approved" in result.stdout.str()
    assert result.parseoutcomes()["skipped"] == 3 * 4


def test_a_long_suite_runs_only_when_asked_and_is_named(approved, pytester):
    suite = write_tiny(approved, ONE_CASE.replace("minutes=0.1", "minutes=50"))
    try:
        result = run(approved, pytester)
        result.assert_outcomes()
        result.stdout.fnmatch_lines(["left out: tiny costs about 50 minutes; name its file or give --long-suites*"])
        named = pytester.runpytest_subprocess(str(suite), "-p", "no:cacheprovider")
        named.assert_outcomes(passed=3 * 5)
        run(approved, pytester, "--long-suites").assert_outcomes(passed=3 * 5)
    finally:
        write_tiny(approved, ONE_CASE)


def test_missing_data_is_skipped_with_one_line(pytester):
    text = ONE_CASE.replace("import digits", "import cifar10").replace("data=digits", "data=cifar10")
    write_tiny(pytester.path, text)
    result = run(pytester.path, pytester, f"--suite-data={pytester.path}")
    result.assert_outcomes(skipped=3 * 5)
    result.stdout.fnmatch_lines(["*CIFAR-10 is neither in*"])


def test_a_suite_that_cannot_be_imported_is_an_error_of_one_line(pytester):
    write_tiny(pytester.path, "SUITE = 1 / 0")
    result = run(pytester.path, pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*tiny.py: cannot be imported: ZeroDivisionError*"])
