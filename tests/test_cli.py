import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from suite_files import TINY, evidence_taken_as_read, write_tiny

from robustprune.cli.verbs import main


@pytest.fixture(scope="module", autouse=True)
def _evidence_taken_as_read():
    with evidence_taken_as_read():
        yield


ONE_SEED = TINY.replace("seed=(0, 1)", "seed=(0,)")


def call(*words, cwd=None):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the tiny suite, run once."""
    folder = tmp_path_factory.mktemp("home")
    result = call("run", write_tiny(folder, ONE_SEED), "--workers", 1)
    assert result.exit_code == 0, result.output
    return folder


def one_line_on_stderr(result, *expected):
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for text in expected:
        assert text in lines[0]


def test_help_does_not_wait_for_torch():
    code = "import sys, robustprune.cli; print(sorted({'torch', 'pandas', 'scipy', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_every_verb_has_help_with_an_example(verb):
    result = call(verb, "--help")
    assert result.exit_code == 0
    shown, codes = result.output.split("Example:")[1].split("Exit codes: 0 ")
    assert f"robustprune {verb}" in shown
    assert "2 wrong use or bad input" in " ".join(codes.split())


def test_run_prints_the_table_and_a_second_run_the_same(home):
    again = call("run", home / "suites/tiny.py", "--workers", 1)
    assert again.exit_code == 0
    assert (home / ".robustprune/latest/tiny/table.md").read_text() in again.stdout
    for text in ("depth-first", "cka", "FGSM", "PGD-3", "parent"):
        assert text in again.stdout


def test_approve_report_and_compare_work_from_files(home):
    suite = home / "suites/tiny.py"
    assert call("approve", suite, "--reason", "a test").exit_code == 0
    table = call("report", suite)
    assert table.stdout.strip() == (home / "results/tiny/table.md").read_text().strip()
    assert call("report", suite, "--format", "csv").stdout.count("\n") > 4
    same = call("compare", home / "results/tiny", home / ".robustprune/latest/tiny")
    assert same.exit_code == 0
    assert "0 significantly weaker" in same.stdout


def test_check_trains_nothing(home, tmp_path):
    result = call("check", write_tiny(tmp_path))
    assert result.exit_code == 0
    assert "removable blocks" in result.stdout
    assert not (tmp_path / ".robustprune").exists()


def test_a_suite_that_does_not_exist(home, monkeypatch):
    monkeypatch.chdir(home)
    one_line_on_stderr(call("run", "tony"), "tony", "tiny")


def test_no_case_of_that_name(home):
    one_line_on_stderr(call("run", home / "suites/tiny.py", "-k", "nothing"), "nothing", "net/parent")


def test_more_blocks_than_can_go(tmp_path):
    suite = write_tiny(tmp_path, TINY.replace("criterion=DepthFirst(), remove=1", "criterion=DepthFirst(), remove=9"))
    for verb in ("check", "run"):
        one_line_on_stderr(call(verb, suite), "9", "3")
    assert not (tmp_path / "results").exists()


BROKEN = {
    "an image size that does not fit": ("CifarResNet, depth=20", "vgg, depth=20", "does not run on images of shape"),
    "a factory that gives a number": ("build=build", "build=lambda: 3", "'net': its factory gave int, expected"),
    "a factory that fails": ("build=build", "build=lambda: 1 / 0", "'net' cannot be built: ZeroDivisionError"),
    "weights that are not there": ("build=build", "build=build, weights='none.pt'", "weights of 'net' not found"),
    "data that are none": ("data=digits", "data=lambda: None", "its data are NoneType, expected robustprune.data"),
    "data that cannot be loaded": ("data=digits", "data=lambda: {}['x']", "cannot be loaded: KeyError"),
    "a class of an odd name": ("data=digits", "data=odd", r"classes[0]='a\nb', expected a name"),
    "an attack in units of bytes": ("FGSM(eps=0.05)", "PGD(eps=128, norm='L2')", "a black image and a white one are 8"),
    "an attack that may do nothing": ("FGSM(eps=0.05)", "FGSM(eps=0)", "eps=0, expected a number above 0"),
    "a recipe that wants a teacher": ("epochs=2, lr=0.1", "epochs=2, lr=0.1, distill=0.5", "there is no teacher"),
    "a recipe that wants more images": ("lr=0.01, samples=200", "lr=0.01, samples=5000", "wants 5000 of 1197 training"),
    "a share of no blocks": ("depth=20", "depth=8", "blocks to remove, but at most"),
    "a name that leaves the folder": ('name="tiny"', 'name="../../evil"', "that can be a folder"),
    "an import that ends the program": ("build = partial", "exit()\nbuild = partial", "cannot be imported: SystemExit"),
}
ODD = """
from dataclasses import replace
from torch import nn
def odd():
    return replace(digits(), classes=("a\\nb", *digits().classes[1:]))
def vgg(depth, width, in_channels):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 10))
build = partial"""


@pytest.mark.parametrize("what", BROKEN)
def test_check_says_in_one_line_what_a_run_would_die_of(what, tmp_path):
    old, new, said = BROKEN[what]
    assert old in TINY
    text = TINY.replace(old, new).replace("\nbuild = partial", ODD, 1)
    one_line_on_stderr(call("check", write_tiny(tmp_path, text), "--results", tmp_path / "results"), said)
    assert not (tmp_path / ".robustprune").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["run", "x" * 5000],
        ["report", "SUITE", "--output", "FILE/below/table.md"],
        ["report", "SUITE", "--output", "y" * 5000],
        ["report", "SUITE", "--results", "z" * 5000],
        ["compare", "x" * 5000, "y" * 5000],
        ["stage", "SUITE", "--step", "1e-9", "--output", "OUT"],
        ["stage", "SUITE", "--step", "nan", "--output", "OUT"],
        ["approve", "SUITE", "--results", "FILE/below"],
    ],
)
def test_options_that_cannot_work_end_in_one_line(home, tmp_path, words):
    (tmp_path / "file").write_text("")
    places = {"SUITE": str(home / "suites/tiny.py"), "OUT": str(tmp_path / "out")}
    words = [places.get(word, word.replace("FILE", str(tmp_path / "file"))) for word in words]
    result = call(*words)
    one_line_on_stderr(result)
    assert len(result.stderr) < 600


@pytest.mark.parametrize("words", [["--seed", -1], ["--samples", 0], ["--seed", "one"]])
def test_a_seed_or_a_number_of_samples_that_cannot_be_is_refused(words):
    result = call("review", "resnet20", "--parent", "resnet20", "--data", "digits", *words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_images_outside_the_unit_range(tmp_path):
    text = TINY.replace("    data=digits,", "    data=brighter,").replace(
        "SUITE =",
        "def brighter():\n    import robustprune.data as d\n    one = digits()\n"
        "    return d.Data('x', one.classes, d.Split(one.train.x * 16, one.train.y), one.test, 'x')\n\nSUITE =",
    )
    one_line_on_stderr(call("run", write_tiny(tmp_path, text)), "pixels from 0 to 16", "0 to 1")


def weights_suite(folder: Path, file: str) -> Path:
    return write_tiny(folder, TINY.replace('recipe=Recipe(name="train", epochs=2, lr=0.1)', f'weights="{file}"'))


def test_a_checkpoint_with_other_keys(tmp_path):
    import torch

    torch.save({"state_dict": {"module.other": torch.zeros(3)}}, tmp_path / "net.th")
    one_line_on_stderr(call("run", weights_suite(tmp_path, tmp_path / "net.th"), "--workers", 1), "net.th", "other")


def test_nan_weights(tmp_path):
    import torch

    from robustprune.models import CifarResNet

    state = CifarResNet(20, width=4, in_channels=1).state_dict()
    state["conv1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "net.th")
    one_line_on_stderr(call("run", weights_suite(tmp_path, tmp_path / "net.th"), "--workers", 1), "conv1.weight")


def test_wrong_use_leaves_results_as_they_were(home):
    suite = home / "suites/tiny.py"
    assert call("approve", suite, "--reason", "a test").exit_code == 0
    before = {path: path.read_bytes() for path in (home / "results").rglob("*") if path.is_file()}
    write_tiny(home, TINY.replace("criterion=DepthFirst(), remove=1", "criterion=DepthFirst(), remove=9"))
    try:
        assert call("run", suite, "--workers", 1).exit_code == 2
        assert call("approve", suite).exit_code == 2
    finally:
        write_tiny(home, ONE_SEED)
    assert before == {path: path.read_bytes() for path in (home / "results").rglob("*") if path.is_file()}


def test_a_data_folder_that_does_not_exist(home):
    one_line_on_stderr(call("run", home / "suites/tiny.py", "--data-dir", "/nowhere"), "/nowhere")


def test_a_device_that_is_not_here(home):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has cuda")
    one_line_on_stderr(call("run", home / "suites/tiny.py", "--device", "cuda"), "cuda", "cpu")


@pytest.mark.parametrize("kind", ["models", "criteria", "attacks", "recipes", "datasets", "suites"])
def test_list_says_a_line_about_every_name(kind, home, monkeypatch):
    monkeypatch.chdir(home)
    lines = call("list", kind).stdout.splitlines()
    assert lines
    assert all(len(line.split()) >= 3 for line in lines), lines


def test_doctor_says_what_is_missing(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    monkeypatch.setenv("ROBUSTPRUNE_DATA", str(tmp_path / "none"))
    text = call("doctor").stdout
    assert "torchattacks" in text
    assert "absent" in text
    assert "suite tiny: ready" in text


def test_a_data_folder_holds_for_one_command(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    before = dict(os.environ)
    assert str(tmp_path) in call("doctor", "--data-dir", tmp_path).stdout
    assert dict(os.environ) == before


def test_comparing_sets_without_a_common_case(home, tmp_path):
    from robustprune import results

    results.save([], tmp_path / "cases.json.gz")
    one_line_on_stderr(call("compare", home / ".robustprune/latest/tiny", tmp_path), "no case in common")


def test_a_weaker_result_is_found(home, tmp_path):
    import gzip

    file = home / ".robustprune/latest/tiny/cases.json.gz"
    content = json.loads(gzip.decompress(file.read_bytes()))
    for outcome in content["cases"][0]["outcomes"]:
        outcome["status"] = outcome["status"].replace("r", "b")
    (tmp_path / "cases.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    result = call("compare", file, tmp_path)
    assert result.exit_code == 1
    assert "net/parent, FGSM, Linf" in result.stdout
    assert "newly broken" in result.stdout


SHIPPED = TINY.replace('recipe=Recipe(name="train"', 'weights="weights/net.safetensors", recipe=Recipe(name="train"')
ONE = SHIPPED.replace(", Strategy(criterion=DepthFirst(), remove=1)", "").replace("seed=(0, 1)", "seed=(0,)")


def test_train_writes_the_weight_files_that_a_suite_ships(tmp_path):
    suite = write_tiny(tmp_path, ONE)
    missing = call("run", suite, "--workers", 1)
    one_line_on_stderr(missing, "weights of 'net' not found")
    said = call("train", suite)
    assert said.exit_code == 0
    from safetensors.torch import load_file

    from robustprune.models import CifarResNet, weights_hash

    net = CifarResNet(20, width=4, in_channels=1)
    net.load_state_dict(load_file(tmp_path / "suites/weights/net.safetensors"))
    assert f"weights {weights_hash(net)[:12]}" in said.output
    assert "epoch 2 of 2: net, loss" in said.stderr
    assert call("train", suite).stdout == said.stdout
    one_line_on_stderr(call("train", write_tiny(tmp_path)), "no model has both a weight file and a recipe")


def test_replicate_runs_a_suite_with_other_seeds_and_writes_what_holds(tmp_path):
    suite = write_tiny(tmp_path, ONE)
    said = call("replicate", suite, "--times", 2, "--workers", 1)
    assert said.exit_code == 0, said.output
    study = tmp_path / "results/replication/tiny"
    assert said.stdout.strip() == (study / "table.md").read_text().strip()
    from robustprune.results import load

    first, second = (load(study / f"run-{number}.json.gz") for number in (1, 2))
    assert [case.subject for case in first] == [case.subject for case in second]
    assert all(a.weights_hash != b.weights_hash for a, b in zip(first, second, strict=True))
    assert first[0].sample_hash != second[0].sample_hash
    again = call("replicate", suite, "--times", 2, "--workers", 1)
    assert again.stdout == said.stdout
