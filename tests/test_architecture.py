"""Imports go down only, nothing goes round in circles, reports need no torch, and every documented example is true."""

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
FLOORS = [
    ["errors"],
    ["typed", "files", "names", "machine"],
    ["models", "data", "results"],
    ["attacks", "policy", "criteria", "prune", "finetune", "cost"],
    ["consensus", "evidence", "suite", "report"],
    ["run"],
    ["review", "ship", "rollout", "tune"],
    ["cli"],
]
"""From the ground up. A room imports from lower floors and, on its own floor, from rooms to its left."""

PLACE = {room: (floor, place) for floor, rooms in enumerate(FLOORS) for place, room in enumerate(rooms)}
INSIDE = {"attacks": ["contract", "algorithms", "engine"]}
"""Rooms whose folders stand on floors of their own, from the ground up."""

MODULES = sorted(name for _, name, _ in pkgutil.walk_packages([str(ROOT)], "robustprune."))
FILES = {
    ".".join(("robustprune", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in ROOT.rglob("*.py")
}


def for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(tree, types):
    """Modules of this package that are imported anywhere below `tree`, indented imports included."""
    for node in ast.iter_child_nodes(tree):
        if for_types(node) and not types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "robustprune":
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in FILES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        yield from imported(node, types)


def graph(types):
    """Module -> the modules that it imports."""
    return {name: set(imported(ast.parse(file.read_text()), types)) for name, file in FILES.items()}


def room_of(module):
    return [*module.split("."), ""][1]


def circles(edges):
    """Groups of modules that reach each other (Tarjan would be faster; this is short)."""
    reach = {name: set(targets) for name, targets in edges.items()}
    growing = True
    while growing:
        growing = False
        for found in reach.values():
            more = set().union(*(reach[target] for target in found if target in reach)) - found
            if more:
                found |= more
                growing = True
    return sorted({tuple(sorted(other for other in reach[name] if name in reach[other])) for name in reach} - {()})


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_every_room_has_a_floor_and_there_are_few():
    rooms = {room_of(name) for name in FILES} - {""}
    assert rooms == set(PLACE)
    assert len(rooms) <= 24


@pytest.mark.parametrize("types", [False, True], ids=["at run time", "with types"])
def test_no_circle_of_files(types):
    assert circles(graph(types)) == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_go_down(name):
    own = room_of(name)
    if own == "":
        return
    wrong = set()
    for target in graph_of_types[name]:
        room = room_of(target)
        if room not in ("", own):
            (floor, place), (mine, here) = PLACE[room], PLACE[own]
            wrong |= {target} if floor > mine or (floor == mine and place > here) else set()
        elif room == own and own in INSIDE:
            folders = INSIDE[own]
            theirs, ours = (module.split(".")[2] if module.count(".") > 1 else "" for module in (target, name))
            if ours in folders and (theirs not in folders or folders.index(theirs) > folders.index(ours)):
                wrong.add(target)
    assert wrong == set()


graph_of_types = graph(types=True)


def test_reports_and_policies_need_no_torch():
    code = (
        "import sys, robustprune.report.table, robustprune.policy, robustprune.policy.baseline, robustprune.results;"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_help_is_instant_since_nothing_heavy_is_imported():
    code = "import sys, robustprune.cli; print({'torch', 'pandas', 'scipy', 'rich', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("file", sorted(FILES.values()), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_files_and_functions_fit_the_eye(file):
    text = file.read_text()
    assert text.count("\n") <= 260
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name
            taken = [one.arg for one in node.args.args + node.args.kwonlyargs if one.arg not in ("self", "cls")]
            assert len(taken) <= 8, node.name


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_documentation_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
