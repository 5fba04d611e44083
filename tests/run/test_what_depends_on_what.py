"""Which measurements are made anew after an edit: tried on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import robustprune

KINDS = ("training", "choice", "finetuned", "attacked", "examined", "priced")
SAID = (
    "import json; from robustprune.run.code import module_digest;"
    f"print(json.dumps({{kind: module_digest('robustprune.run.' + kind) for kind in {KINDS}}}))"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "templates")
    shutil.copytree(Path(robustprune.__file__).parent, folder / "robustprune", ignore=ignored)
    return folder / "robustprune"


def digests(package: Path):
    here = package.parent
    there = {**os.environ, "PYTHONPATH": str(here), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, check=True, env=there, cwd=here)
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def before(package):
    return digests(package)


COMMENT = ("    if not ctx.outcomes:\n", "    # a remark\n    if not ctx.outcomes:\n")
DOCSTRING = ('"""Every sample that counts', '"""All samples that count')
THRESHOLD = ("AGREE, PLANTED_ERROR = 0.999, 0.01", "AGREE, PLANTED_ERROR = 0.999, 0.02")


@pytest.mark.parametrize(
    ("file", "edit", "anew"),
    [
        ("evidence/soundness.py", COMMENT, set()),
        ("evidence/soundness.py", DOCSTRING, set()),
        ("evidence/soundness.py", THRESHOLD, {"examined"}),
        (
            "attacks/contract/threat.py",
            ("clamp_(-self.eps, self.eps)", "clamp_(-self.eps, self.eps + 0)"),
            {"attacked", "examined"},
        ),
        ("finetune/loop.py", ("nesterov=recipe.momentum > 0", "nesterov=False"), {"training", "finetuned", "choice"}),
        ("criteria/weights.py", ("higher = keep", "higher = keep, always"), set()),
        ("cost/latency.py", ("FEWEST, MOST = 3, 1000", "FEWEST, MOST = 5, 1000"), {"priced"}),
        ("policy/policy.py", ("max_clean_drop: float = 0.01", "max_clean_drop: float = 0.02"), set()),
        ("report/notes.py", ("ALPHA = 0.05", "ALPHA = 0.04"), set()),
        ("models/resnet.py", ("class CifarResNet", "SPARE = 1\n\n\nclass CifarResNet"), set(KINDS)),
    ],
)
def test_an_edit_makes_anew_what_depends_on_it_and_nothing_else(package, before, file, edit, anew):
    path, (old, new) = package / file, edit
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        after = digests(package)
    finally:
        path.write_text(text)
    assert {kind for kind in KINDS if after[kind] != before[kind]} == anew
