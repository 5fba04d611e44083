"""Suite files: which files are some, and loading what they define."""

from __future__ import annotations

import ast
import difflib
from dataclasses import replace
from pathlib import Path

from robustprune.errors import InputError
from robustprune.names import import_file
from robustprune.suite.cases import Suite
from robustprune.suite.refused import objects

LONGEST_PATH = 1000
"""Characters; systems allow no more, or little."""


def open_suite(where: str | Path, expression: str | None = None, quick: bool = False) -> Suite:
    """Load a suite; keep only the cases whose name holds `expression`, and their parents."""
    suite = load_suite(where)
    suite = suite.quickly() if quick else suite
    if expression is None:
        return suite
    chosen = [case for case in suite.cases if expression in case.id]
    if not chosen:
        some = ", ".join(case.id for case in list(suite.cases)[:5])
        raise InputError(f"-k {expression!r}: no case of {suite.name} has it in its name; cases are {some}, ...")
    return suite.only([*chosen, *(case.parent_case for case in chosen if case.parent_case is not None)])


def suite_files(folder: Path) -> list[Path]:
    """Python files below `folder` that define a SUITE."""
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    return [file for file in files if defines_suite(file)]


def defines_suite(file: Path) -> bool:
    """True for a file with a module-level `SUITE = ...` that imports robustprune, itself or by a file beside it.

    Somebody else's SUITE is left alone. Nothing is imported; a file that does not parse is taken by its text.
    """
    try:
        text = file.read_bytes()
        if b"SUITE" not in text:
            return False
        body = ast.parse(text).body
    except OSError:
        return False
    except (SyntaxError, ValueError, RecursionError):
        return b"\nSUITE" in b"\n" + text and b"robustprune" in text
    return _assigns_suite(body) and _imports_us(body, file.parent, {file})


def _assigns_suite(body: list[ast.stmt]) -> bool:
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "SUITE" for target in targets)


def _imports_us(body: list[ast.stmt], folder: Path, seen: set[Path]) -> bool:
    """Whether code imports robustprune, or a file of its folder that does."""
    names: list[str] = []
    for node in (inner for statement in body for inner in ast.walk(statement)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module or ""]
    tops = {name.partition(".")[0] for name in names}
    beside = [file for top in sorted(tops) for file in (folder / f"{top}.py", folder / top / "__init__.py")]
    for file in (file for file in beside if file.is_file() and file not in seen):
        seen.add(file)
        try:
            if _imports_us(ast.parse(file.read_bytes()).body, folder, seen):
                return True
        except (OSError, SyntaxError, ValueError):
            continue
    return "robustprune" in tops


def load_suite(where: str | Path) -> Suite:
    """Load the `SUITE` of a Python file, given by path or by the name of a file in `suites/`."""
    path = Path(where)
    if len(str(where)) > LONGEST_PATH or "\0" in str(where):
        raise InputError(f"{str(where)[:60]!r}...: no suite can have such a name; expected a Python file")
    if not path.suffix and not path.exists():
        path = Path("suites") / f"{path}.py"
    if not path.is_file():
        known = sorted(p.stem for p in Path("suites").glob("*.py"))
        close = difflib.get_close_matches(path.stem, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"{where}: no such suite; {hint}suites found here: {', '.join(known) or 'none'}")
    objects()  # what every suite imports is not its own time
    suite = getattr(import_file(path), "SUITE", None)
    if not isinstance(suite, Suite):
        raise InputError(f"{path}: expected a module-level `SUITE = Suite(...)`, found {type(suite).__name__}")
    return replace(suite, file=path.resolve())
