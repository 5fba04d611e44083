"""The evidence bundle, and what `verify` sees when somebody changes it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from robustprune import results
from robustprune.errors import InputError
from robustprune.policy import judge
from robustprune.review import bundle
from robustprune.review.bundle import check_free, reserved, write_bundle, write_manifest, write_seal
from robustprune.review.rejudged import rejudged
from robustprune.review.verify import verify

TEXTS = {
    "verdict.json",
    "cases.json.gz",
    "transfer.json",
    "samples.json",
    "environment.json",
    "manifest.json",
    "seal.json",
}
PEOPLE = {"table.md", "table.csv", "summary.md", "controls.md", "report.html"}


@pytest.fixture(scope="module")
def original(desk, noisy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "noisy"
    write_bundle(noisy, folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take long, and most tests do not look at them."""
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))


@pytest.fixture
def drawn(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "copy"))


@pytest.fixture
def copy(drawn, undrawn):
    """A bundle that is verified but for its page, which is drawn anew for that."""
    return drawn


def edit(folder: Path, name: str, change) -> None:
    """Change a JSON file of a bundle."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def edit_cases(folder: Path, change) -> None:
    """Change the outcomes of the candidate."""
    parent, candidate = results.load(folder / "cases.json.gz")
    results.save([parent, change(candidate)], folder / "cases.json.gz")


def test_a_bundle_is_whole_and_holds(original, noisy):
    assert {path.name for path in original.iterdir()} >= TEXTS | PEOPLE
    assert len(list((original / "pictures").glob("*.svg"))) >= 4
    found = verify(original)
    assert found.holds, found.problems
    assert found.verdict == "FAIL"
    assert found.findings == len(noisy.verdict.findings)
    assert found.files == sum(1 for path in original.rglob("*") if path.is_file()) - 2


def test_the_record_says_everything_a_reader_needs(original, noisy, desk):
    said = json.loads((original / "verdict.json").read_text())
    assert said["schema"] == 1
    assert (said["verdict"], said["exit_code"], said["command"]) == ("FAIL", 1, "robustprune review it")
    assert said["policy"]["max_robust_drop"] == 0.02
    assert said["candidate"]["weights"] == "noisy.safetensors"
    assert said["candidate"]["sha256"] == bundle.sha256(desk.folder / "noisy.safetensors")
    assert said["data"] == {"name": "digits", "source": noisy.facts.data["source"], "seed": 0, "n": 600} | {
        "sample_hash": noisy.candidate.sample_hash
    }
    assert {shift["claim"] for shift in said["shifts"]} >= {"clean", "worst case"}
    assert [attack["settings"]["steps"] for attack in said["attacks"]] == [5, 5]
    assert said["parity"] is None
    samples = json.loads((original / "samples.json").read_text())["samples"]
    assert len({sample["hash"] for sample in samples}) > 590
    assert [sample["label"] for sample in samples] == noisy.candidate.labels


def test_the_page_and_the_summary_put_the_verdict_first(original):
    page, summary = ((original / name).read_text() for name in ("report.html", "summary.md"))
    assert page.index("FAIL") < page.index("Comparison")
    assert page.count("<svg") >= 4
    assert "Newly broken samples" in page
    assert summary.startswith("## robustprune review: FAIL: ")
    assert summary.index("**Why**") < summary.index("| clean accuracy |")


def test_one_changed_byte_of_the_outcomes_is_seen_and_the_file_is_named(copy):
    path = copy / "cases.json.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    found = verify(copy)
    assert not found.holds
    assert any(problem.startswith("cases.json.gz: its sha256 is not") for problem in found.problems)


@pytest.mark.parametrize("name", sorted(TEXTS - {"manifest.json"} | PEOPLE))
def test_a_changed_byte_in_any_file_names_that_file(copy, name):
    with (copy / name).open("ab") as file:
        file.write(b" ")
    named = {problem.partition(":")[0] for problem in verify(copy).problems}
    assert name in named


def test_outcomes_that_were_changed_with_their_hash_give_another_verdict(copy):
    parent = results.load(copy / "cases.json.gz")[0]
    edit_cases(copy, lambda case: replace(case, clean=parent.clean, outcomes=parent.outcomes))
    write_manifest(copy)
    problems = verify(copy).problems
    assert "verdict: says FAIL, the outcomes give PASS" in problems
    assert any(problem.startswith("findings, clean accuracy: FAIL") for problem in problems)
    assert "exit_code: says 1, the outcomes give 0" in problems


def test_one_outcome_that_was_changed_with_its_hash_is_seen_in_the_findings(copy):
    def flip(case):
        row = case.outcomes[0].status.index("b")
        status = case.outcomes[0].status
        first = replace(case.outcomes[0], status=f"{status[:row]}r{status[row + 1 :]}")
        return replace(case, outcomes=[first, *case.outcomes[1:]])

    edit_cases(copy, flip)
    write_manifest(copy)
    problems = verify(copy).problems
    assert any(problem.startswith("findings, robust accuracy, PGD-5, Linf 12.75/255: ") for problem in problems)
    assert not any(problem.startswith("verdict:") for problem in problems)  # one sample does not turn it


def test_a_verdict_that_was_beautified_with_its_hash_is_seen(copy):
    edit(copy, "verdict.json", lambda said: said.update(verdict="PASS", exit_code=0))
    write_manifest(copy)
    assert "verdict: says PASS, the outcomes give FAIL" in verify(copy).problems


def test_a_finding_that_was_beautified_is_named(copy):
    edit(copy, "verdict.json", lambda said: said["findings"][0].update(verdict="PASS", low=-0.001))
    write_manifest(copy)
    (problem,) = verify(copy).problems
    assert problem.startswith("findings, clean accuracy: PASS (")


def test_a_wider_policy_that_was_written_in_afterwards_is_seen(copy):
    edit(copy, "verdict.json", lambda said: said["policy"].update(max_clean_drop=0.5, max_robust_drop=0.5))
    write_manifest(copy)
    assert "verdict: says FAIL, the outcomes give PASS" in verify(copy).problems


def test_transfer_is_computed_again_too(copy):
    edit(copy, "transfer.json", lambda said: said[0].update(status=said[0]["status"].replace("b", "r")))
    write_manifest(copy)
    (problem,) = verify(copy).problems
    assert problem.startswith("transfer, transfer PGD-5: ")


def test_other_samples_are_seen(copy):
    edit(copy, "samples.json", lambda said: said["samples"].reverse())
    write_manifest(copy)
    assert verify(copy).problems == ("samples.json: not the samples of cases.json.gz",)


@pytest.mark.parametrize("name", sorted(PEOPLE))
def test_what_people_read_is_made_again_and_compared(name, request):
    copy = request.getfixturevalue("drawn" if name == "report.html" else "copy")
    text = (copy / name).read_text()
    changed = text.replace("FAIL", "PASS") if "FAIL" in text else text.replace("0", "1", 1)
    (copy / name).write_text(changed)
    write_manifest(copy)
    (problem,) = verify(copy).problems
    assert problem.startswith(f"{name}: not what cases.json.gz gives")


@pytest.mark.parametrize("key", ["costs", "checks", "attacks", "made", "curves"])
def test_no_part_of_the_record_can_be_mended(key, copy):
    said = json.loads((copy / "verdict.json").read_text())
    said[key] = "2020" if key == "made" else said[key] | {"candidate": []} if isinstance(said[key], dict) else []
    (copy / "verdict.json").write_text(json.dumps(said, indent=1) + "\n")
    write_manifest(copy)
    assert not verify(copy).holds


def test_costs_that_were_changed_everywhere_break_the_seal(copy, noisy):
    dearer = replace(noisy.candidate, cost=replace(noisy.candidate.cost, macs=1))
    shutil.rmtree(copy)
    verdict = judge(dearer, noisy.parent, noisy.policy)
    write_bundle(replace(noisy, candidate=dearer, verdict=verdict), copy)
    assert verify(copy).holds
    assert verify(copy).note == "sealed by this user; not signed"
    write_seal_of_another(copy)
    assert verify(copy).note.startswith("sealed by another user")
    (copy / "seal.json").unlink()
    with pytest.raises(InputError, match=r"has no seal\.json: made by an older version.*review again"):
        verify(copy)


def write_seal_of_another(folder: Path) -> None:
    edit(folder, "seal.json", lambda said: said.update(key="0" * 16))


def test_a_manifest_that_was_written_anew_breaks_the_seal(copy):
    drawn = next((copy / "pictures").glob("*.svg"))
    drawn.write_text(drawn.read_text().replace("</svg>", "<!-- --></svg>"))
    write_manifest(copy)
    (problem,) = verify(copy).problems
    assert problem.startswith("seal.json: not the seal of this manifest.json")


@pytest.mark.parametrize("name", ["table.csv", "verdict.json", "cases.json.gz", "pictures/extra", "extra"])
@pytest.mark.parametrize("kind", ["a link", "a folder", "something else than a file"])
def test_only_plain_files_are_read(name, kind, copy, tmp_path):
    path = copy / name
    if path.exists():
        path.rename(tmp_path / "moved")
    if kind == "a link":
        path.symlink_to(tmp_path / "moved")
    elif kind == "a folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert any(problem.startswith(f"{name}: ") and kind in problem for problem in verify(copy).problems)


def test_two_reviews_do_not_share_a_folder(tmp_path):
    with reserved(tmp_path / "out"), pytest.raises(InputError, match="another review"), reserved(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_is_judged_again_from_the_outcomes(copy):
    assert rejudged(copy) == 1
    edit(copy, "verdict.json", lambda said: said.update(verdict="PASS", exit_code=0))
    assert rejudged(copy) == 1
    (copy / "cases.json.gz").write_bytes(b"")
    with pytest.raises(InputError, match="not a results file"):
        rejudged(copy)


def test_added_and_missing_files_are_named(copy):
    (copy / "extra.txt").write_text("hello")
    (copy / "table.csv").unlink()
    problems = verify(copy).problems
    assert any(problem.startswith("extra.txt: not in manifest.json") for problem in problems)
    assert "table.csv: missing" in problems


def test_a_manifest_that_points_outside_is_not_followed(copy):
    edit(copy, "manifest.json", lambda said: said["files"].update({"../../etc": {"sha256": "0"}}))
    assert any("lists ../../etc, which lies outside the bundle" in problem for problem in verify(copy).problems)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema": 99, "files": {}}', b'{"schema": 1, "files": [1]}'])
def test_a_manifest_that_cannot_be_read_is_a_mismatch(copy, content):
    (copy / "manifest.json").write_bytes(content)
    assert "manifest.json: cannot be read as a manifest of schema 1" in verify(copy).problems


@pytest.mark.parametrize(
    ("content", "packed"), [(b"", False), (b"junk", False), (b"{}", True), (b'{"schema": 1, "cases": []}', True)]
)
def test_outcomes_that_cannot_be_read_are_a_mismatch_and_no_crash(copy, content, packed):
    (copy / "cases.json.gz").write_bytes(gzip.compress(content) if packed else content)
    write_manifest(copy)
    (problem,) = verify(copy).problems
    assert problem.startswith("verdict.json: the verdict cannot be computed again")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a bundle of robustprune"):
        verify(tmp_path)


def test_the_candidates_file_is_recognised(original, desk, undrawn):
    assert verify(original, desk.folder / "noisy.safetensors").holds
    (problem,) = verify(original, desk.folder / "parent.safetensors").problems
    assert "not the candidate that was reviewed" in problem
    with pytest.raises(InputError, match="no such file"):
        verify(original, desk.folder / "nowhere.safetensors")


def test_evidence_is_not_written_over(original, noisy, tmp_path, undrawn):
    with pytest.raises(InputError, match="evidence is not overwritten"):
        write_bundle(noisy, original)
    check_free(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    write_bundle(noisy, tmp_path / "empty")
    assert verify(tmp_path / "empty").holds


def test_a_bundle_is_written_whole_or_not_at_all(noisy, tmp_path, monkeypatch, undrawn):
    def fail(folder):
        raise OSError("disk full")

    monkeypatch.setattr(bundle, "write_manifest", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bundle(noisy, tmp_path / "half")
    assert list(tmp_path.iterdir()) == []


def test_without_the_drawing_libraries_the_rest_is_written(noisy, tmp_path, undrawn):
    write_bundle(noisy, tmp_path / "plain")
    names = {path.name for path in (tmp_path / "plain").iterdir()}
    assert names == TEXTS | PEOPLE - {"report.html"}
    assert verify(tmp_path / "plain").holds


@pytest.mark.parametrize("change", ["curves", "samples"])
def test_curves_and_samples_that_were_changed_everywhere_but_in_the_summary_are_seen(change, copy):
    def other(said):
        if change == "curves":
            said["curves"]["candidate"][0]["k"] -= 1

    edit(copy, "verdict.json", other)
    if change == "samples":
        edit(copy, "samples.json", lambda said: said["samples"][0].update(hash="0" * 16))
    write_manifest(copy)
    write_seal(copy)
    problems = verify(copy).problems
    assert "verdict.json: exhibits is not what cases.json.gz gives" in problems
    assert any(problem.startswith("summary.md: not what cases.json.gz gives") for problem in problems)


@pytest.mark.parametrize("point", [{"k": 999}, {"k": -1}, {"n": 999}, {"eps": 9.0}])
def test_a_curve_that_cannot_be_is_seen(point, copy):
    edit(copy, "verdict.json", lambda said: said["curves"]["parent"][0].update(point))
    write_manifest(copy)
    write_seal(copy)
    assert any(
        "curves: that of the parent cannot be one of 600 samples" in problem for problem in verify(copy).problems
    )
