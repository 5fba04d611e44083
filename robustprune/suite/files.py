"""Suite files: which files are some, and loading what they define."""

from __future__ import annotations

import ast
import difflib
from dataclasses import replace
from pathlib import Path

from robustprune.errors import InputError
from robustprune.names import import_file
from robustprune.suite.cases import Suite


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
    """True for a file with a module-level `SUITE = ...`, or one that may have it but does not parse. No import."""
    try:
        text = file.read_text()
        if "SUITE" not in text:
            return False
        body = ast.parse(text).body
    except (OSError, UnicodeDecodeError):
        return False
    except SyntaxError:
        return "\nSUITE" in f"\n{text}"
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "SUITE" for target in targets)


def load_suite(where: str | Path) -> Suite:
    """Load the `SUITE` of a Python file, given by path or by the name of a file in `suites/`."""
    path = Path(where)
    if not path.suffix and not path.exists():
        path = Path("suites") / f"{path}.py"
    if not path.is_file():
        known = sorted(p.stem for p in Path("suites").glob("*.py"))
        close = difflib.get_close_matches(path.stem, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"{where}: no such suite; {hint}suites found here: {', '.join(known) or 'none'}")
    suite = getattr(import_file(path), "SUITE", None)
    if not isinstance(suite, Suite):
        raise InputError(f"{path}: expected a module-level `SUITE = Suite(...)`, found {type(suite).__name__}")
    return replace(suite, file=path.resolve())
