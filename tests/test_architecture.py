"""Imports go one way, reports need no torch, and every example in the documentation is true."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import robustprune

ROOT = Path(robustprune.__file__).parent
LAYERS = [
    {"errors"},
    {"store", "statistics"},
    {"results", "environment", "registry"},
    {"models", "data", "verdict"},
    {"criteria", "prune", "finetune", "attacks", "cost", "policy", "report"},
    {"consensus", "suite", "regression"},
    {"workspace", "subject"},
    {"pool", "inspection", "progress"},
    {"runner"},
    {"review"},
    {"cli", "pytest_plugin", "__init__"},
]
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
MODULES = sorted(name for _, name, _ in pkgutil.walk_packages([str(ROOT)], "robustprune."))


def part_of(module: str) -> str:
    return module.split(".")[1]


def imports(file: Path) -> set[str]:
    """Parts of this package that a file imports when it is imported; not what it needs for types or later."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("robustprune."):
            found.add(part_of(node.module))
        elif isinstance(node, ast.Import):
            found |= {part_of(name.name) for name in node.names if name.name.startswith("robustprune.")}
    return found


def test_every_part_has_a_layer():
    assert {part_of(name) for name in MODULES} == set(LEVEL) - {"__init__"}


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_go_one_way(file):
    own = file.relative_to(ROOT).parts[0].removesuffix(".py")
    upwards = {part for part in imports(file) - {own} if LEVEL[part] >= LEVEL[own]}
    allowed = {"policy": {"report"}, "report": {"policy"}}
    assert upwards <= (allowed.get(own, set()) if own == "report" else set())


def test_reports_and_policies_need_no_torch():
    code = (
        "import sys, robustprune.report.table, robustprune.policy, robustprune.regression, robustprune.results;"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_documentation_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
