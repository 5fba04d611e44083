"""The verbs as a user types them: exit codes, texts, files; a circle from a suite to a reviewed export."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from review_desk import NETS

from robustprune.cli import main
from robustprune.cli.options import combined, fractions, numbers
from robustprune.cost.energy import Energy
from robustprune.policy import Policy
from robustprune.results.costs import FINE_TUNING
from robustprune.review.bundle import write_bundle, write_manifest
from robustprune.rollout.stages import plan
from robustprune.run.energy import suite_energy
from robustprune.run.shelf import latest, measure_suite, shelf
from robustprune.ship.card import model_card
from robustprune.suite.files import open_suite

CHEAP = ["--data", "digits", "--eps", "0.05", "--samples", "100", "--max-class-drop", "none"]


@pytest.fixture
def cli(desk, tmp_path, monkeypatch):
    """Run the program in an empty folder; gives the result, whose output is stdout and stderr apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], prog_name="robustprune")


def test_help_is_instant_since_nothing_heavy_is_imported():
    code = "import sys, robustprune.cli; sys.exit(bool({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["review", "verify", "stage", "export"])
def test_every_verb_has_help_with_an_example(cli, name):
    found = cli(name, "--help")
    assert found.exit_code == 0
    assert f"Example:\n    robustprune {name} " in found.output


def test_a_review_puts_the_verdict_first_and_leaves_a_bundle_that_holds(cli, desk):
    margins = ["--max-clean-drop", "0.05", "--max-robust-drop", "0.05"]
    parent = f"{NETS}:small@{desk.folder}/parent.safetensors"
    words = ["review", parent, "--parent", parent, *CHEAP, *margins, "--summary", "s.md", "--output", "out"]
    handed = ["--sarif", "s.sarif", "--comment", "c.md", "--controls", "mine.toml"]
    Path("mine.toml").write_text('[[control]]\nid = "ACME 7"\nasks = "Nothing is lost."\nevidence = ["robust"]\n')
    found = cli(*words, *handed)
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines()[0] == "PASS: the candidate may take the parent's place"
    said = json.loads(Path("out/verdict.json").read_text())
    assert said["command"].startswith(f"robustprune review {parent} --parent {parent} --data digits")
    assert said["policy"]["max_clean_drop"] == 0.05
    assert said["policy"]["max_class_drop"] is None
    assert [attack["attack"] for attack in said["attacks"]] == [
        "FGSM",
        "PGD-10",
        "PGD-20 probability",
        "PGD-20 targets x3",
    ]
    assert Path("s.md").read_text().startswith("## robustprune review: PASS")
    assert "### robustprune: PASS" in Path("c.md").read_text()
    results = json.loads(Path("s.sarif").read_text())["runs"][0]["results"]
    assert {(one["kind"], one["level"]) for one in results} == {("pass", "none")}
    assert "| ACME 7 | Nothing is lost. | robust accuracy, worst case: " in Path("out/controls.md").read_text()
    assert "Energy" not in found.stdout
    checked = cli("verify", "out")
    assert checked.exit_code == 0
    assert checked.output.startswith("OK: ")
    seal = checked.output.split()[-1]
    assert seal in found.stdout
    assert seal in Path("s.md").read_text()
    again = cli(*words)
    assert again.exit_code == 2
    assert "evidence is not overwritten" in again.stderr
    # the same measurements, under the default policy: a hundred samples are too few
    strict = cli("review", parent, "--parent", parent, *CHEAP, "--comment", "c.md", "--before", "out")
    assert strict.exit_code == 3
    assert "| since the last review |" in Path("c.md").read_text()
    assert strict.stdout.startswith("INCONCLUSIVE: these samples are too few to say; about 381 samples would")
    assert Path("parent-review/manifest.json").is_file()


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        (
            "max_clean_drop = 0.01\nmax_robust_dorp = 0.02\n",
            "line 2: unknown key max_robust_dorp; did you mean max_robust_drop?",
        ),
        ("\n\nmax_clean_drop = 2\n", "line 3: max_clean_drop = 2: expected a proportion"),
        ("max_clean_drop = \n", "not TOML"),
    ],
)
def test_a_wrong_policy_file_is_refused_with_the_line(cli, desk, toml, reason):
    Path("p.toml").write_text(toml)
    parent = f"{NETS}:small@{desk.folder}/parent.safetensors"
    found = cli("review", parent, "--parent", parent, *CHEAP, "--policy", "p.toml")
    assert found.exit_code == 2
    assert found.stderr.startswith("robustprune: p.toml")
    assert reason in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--eps", "8/0"], "expected a number such as 8/255"),
        (["--max-clean-drop", "7"], "max_clean_drop = 7.0: expected a proportion"),
        (["--blocking", "2,x"], "expected numbers of validity checks"),
        (["--data", "no-such-data"], "neither a path nor one of"),
        (["--device", "cuda:9"], "device 'cuda:9' is not available"),
        (["--parent-weights", "none.pt"], "no such weight file"),
        (["--data-dir", "nowhere"], "no such folder"),
        (["--shipped", "none.onnx"], "no such file; expected what ships"),
        (["--controls", "none.toml"], "none.toml: cannot be read"),
        (["--before", "nowhere"], "--before is for --comment FILE"),
        (["--before", "nowhere", "--comment", "c.md"], "nowhere: no bundle of a review before"),
        (["--sarif", "small-review/s.sarif", "--output", "small-review"], "expected a file outside the bundle"),
        (["--country", "DEU"], "--country DEU: is for --energy"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(cli, desk, words, reason):
    parent = f"{NETS}:small@{desk.folder}/parent.safetensors"
    found = cli("review", parent, "--parent", parent, *CHEAP, *words)
    assert found.exit_code == 2, found.output
    assert reason in found.stderr
    assert found.stderr.count("\n") == 1


def test_verify_names_the_changed_file_and_exits_with_1(cli, noisy, tmp_path):
    write_bundle(noisy, tmp_path / "b")
    path = tmp_path / "b" / "cases.json.gz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    found = cli("verify", "b")
    assert found.exit_code == 1
    assert found.output.startswith("MISMATCH cases.json.gz: its sha256 is not the one in manifest.json")
    write_manifest(tmp_path / "b")
    assert cli("verify", "b").exit_code in (0, 1)  # a byte of the checksum: read, or not
    assert cli("verify", tmp_path).exit_code == 2


def test_flags_override_the_policy_file(tmp_path):
    (tmp_path / "p.toml").write_text("[policy]\nmax_clean_drop = 0.03\nmin_saving = 0.5\n")
    policy = combined(tmp_path / "p.toml", {"min_saving": 0.1, "max_class_drop": "none", "blocking": (2, 3)}, Policy())
    assert (policy.max_clean_drop, policy.min_saving, policy.max_class_drop) == (0.03, 0.1, None)
    assert policy.blocking == (2, 3)
    mine = Policy(max_robust_drop=0.3, max_class_drop=None, min_saving=0.2)
    assert combined(None, {"max_clean_drop": 0.5}, mine) == replace(mine, max_clean_drop=0.5)
    assert combined(None, {}, mine) == mine


def test_numbers_and_fractions_are_read():
    assert numbers("none") is None
    assert fractions(("0.25/255", "0.5")) == (0.25 / 255, 0.5)


TEXT = '''
    """A pruned net, for the tests."""
    import sys
    sys.path.insert(0, {folder!r})
    from planted_models import small
    from robustprune.attacks import PGD
    from robustprune.criteria import DepthFirst
    from robustprune.data import digits
    from robustprune.finetune import Recipe
    from robustprune.policy.policy import Policy
    from robustprune.suite.cases import Model, Strategy, Suite, grid

    SUITE = Suite(
        name="little",
        data=digits,
        cases=grid(
            model=Model(name="net", build=small, weights={weights!r}),
            strategy=[Strategy(criterion=DepthFirst(), remove=1, keep_per_stage=0)],
            recipe=Recipe(name="ft", epochs=1, lr=0.02),
        ),
        attacks=(PGD(eps=0.02, steps=3), PGD(eps=0.02, steps=3, loss="margin")),
        policy=Policy(max_clean_drop=0.2, max_robust_drop=0.2, max_class_drop=None),
        samples=100,
        batches=(1,),
        timing_seconds=0.01,
    )
'''


@pytest.fixture(scope="module")
def suite(desk, tmp_path_factory):
    """The suite's file; its results and its store lie beside it."""
    file = tmp_path_factory.mktemp("suites") / "little.py"
    weights = str(desk.folder / "parent.safetensors")
    file.write_text(textwrap.dedent(TEXT).format(folder=str(Path(NETS).parent), weights=weights))
    return file


@pytest.fixture(scope="module")
def measured(suite):
    """The suite, run."""
    opened = open_suite(suite)
    measure_suite(opened, shelf(opened), workers=1)
    return suite


def test_a_case_that_was_not_run_is_not_exported(cli, suite):
    early = cli("export", suite, "depth-first", "--output", "release")
    assert early.exit_code == 2
    assert "no results yet" in early.stderr


def test_from_a_staged_roll_out_to_a_reviewed_export(cli, measured, desk):
    """stage -> export -> review of the exported file alone: one network, three verbs, the same numbers."""
    found = cli("stage", measured, "--step", "0.34", "--most", "0.34")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("1 block can go, ")
    folder = Path("little-stages")
    stages = json.loads((folder / "stages.json").read_text())
    assert [(stage["blocks"], stage["removed"]) for stage in stages["stages"]] == [(1, ["layer1.1"])]
    assert [step.blocks for step in plan([1, 1, 1], 0.34, 0.34)] == [1]
    assert cli("verify", folder / "bundle", "--weights", next(folder.glob("*.safetensors"))).exit_code == 0
    assert "| parent" in (folder / "stages.md").read_text()

    weights = next(folder.glob("*.safetensors"))
    parent = f"{NETS}:small@{desk.folder}/parent.safetensors"
    words = ["--data", "digits", "--samples", "100", "--eps", "0.02", "--max-class-drop", "none"]
    reviewed = cli("review", weights, "--parent", parent, *words, "--output", "out")
    assert reviewed.exit_code in (0, 1, 3)
    said = json.loads(Path("out/verdict.json").read_text())
    assert said["candidate"]["removed"] == ["layer1.1"]
    bundle = json.loads((folder / "bundle" / "verdict.json").read_text())
    assert said["candidate"]["weights_hash"] == bundle["candidate"]["weights_hash"]
    assert said["data"]["sample_hash"] == bundle["data"]["sample_hash"]
    clean = [record["shifts"][0] for record in (said, bundle)]
    assert clean[0] == clean[1]
    assert said["costs"][0] == bundle["costs"][0]


def test_a_case_is_exported_once_it_was_run(cli, measured):
    found = cli("export", measured, "depth-first", "--output", "release")
    assert found.exit_code == 0, found.output
    assert [path.name for path in sorted(Path("release").iterdir())] == [
        "MODEL_CARD_SECTION.md",
        "net-depth-first-1-ft-seed0.safetensors",
    ]
    card = Path("release/MODEL_CARD_SECTION.md").read_text()
    assert "Pruned from `net` by depth-first: 1 of 4 removable blocks gone (layer1.1)" in card
    many = cli("export", measured, "net", "--output", "release")
    assert many.exit_code == 2
    assert "have it in their names" in many.stderr


@dataclass
class Ten:
    """A meter by which all work takes ten joules."""

    seconds: float = 0.001

    def of(self, work):
        work()
        return Energy(joules=10.0, grams=None, method="a made-up meter")


def test_the_energy_of_fine_tuning_is_scaled_to_the_whole_recipe(measured):
    """One epoch on 512 images takes 10 J; the recipe's one epoch is on all 1,197 images of digits."""
    opened = open_suite(measured)
    place = shelf(opened)
    parent, dense, pruned = suite_energy(opened, place, latest(place, opened), "cpu", Ten())
    assert FINE_TUNING not in parent.cost.energy_joules
    for one in (dense, pruned):
        assert one.cost.energy_joules[FINE_TUNING] == pytest.approx(10 * 1197 / 512)
    assert "fine-tuning from 1 epoch on 512 images, for 1 on 1,197, by a made-up meter" in pruned.cost.energy_method
    assert "Fine-tuning took about 23.4 J." in model_card(pruned, parent)


def test_suites_give_junit_output_under_pytest(measured, tmp_path):
    """Nothing approved yet: evidence and policy are tests that run, all claims are skipped, never green."""
    plugin = ["-p", "robustprune.cli.pytest_plugin"] if not _installed() else []
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(measured),
        "-q",
        "--junitxml",
        "junit.xml",
        "-p",
        "no:cacheprovider",
        *plugin,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (tmp_path / "junit.xml").is_file(), done.stdout + done.stderr
    cases = ET.parse(tmp_path / "junit.xml").getroot().findall(".//testcase")
    names = [case.get("name") for case in cases]
    assert "net/depth-first-1/ft[worst case]" in names
    claims = [case for case in cases if not case.get("name").endswith(("[evidence]", "[policy]"))]
    assert claims
    assert all("approved" in case.find("skipped").get("message") for case in claims)
    assert {case.get("name").partition("[")[2] for case in cases if case not in claims} == {"evidence]", "policy]"}


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(entry.name == "robustprune" for entry in entry_points(group="pytest11"))
