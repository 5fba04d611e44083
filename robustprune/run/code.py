"""Which source files something depends on: its own, and those that it imports, as far as they are not installed.

What counts is what a file does, so comments, docstrings and layout play no part. `SUITE = ...` is left out of a suite
file: what stands in it is known by value. Imports are followed wherever they stand in a file, those for types alone
excepted. Libraries are known by their versions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("torch", "torchvision", "torchattacks", "numpy")
INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@functools.cache
def libraries() -> str:
    """The versions of the libraries that all numbers depend on."""
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)


def source_file(thing: Any) -> Path | None:
    """The file that a function or class was written in; None for one that was made without a file.

    A function remembers its file, unless it came from another process; then its module tells.
    """
    file = _existing(thing.__code__.co_filename) if isinstance(thing, FunctionType) else None
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return file or _existing(getattr(module, "__file__", None) or "")


def installed(thing: Any) -> str:
    """Name and version of the library that a function, class or module belongs to; "" for this package and the user's.

    >>> installed(ast.parse).startswith("ast "), installed(installed)
    (True, '')
    """
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", "") or ""
    top = name.partition(".")[0]
    if top in ("robustprune", "__main__"):
        return ""
    return _version_of(top)


@functools.cache
def _version_of(top: str) -> str:
    """Name and version of an installed top-level module; "" where it is not installed but lies in a user's folder."""
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return f"{top} {sys.version_info.major}.{sys.version_info.minor}"
    file = _existing(getattr(sys.modules.get(top), "__file__", None) or "")
    if file is None or not _below(file, INSTALLED):
        return ""
    try:
        return f"{top} {importlib.metadata.version(top)}"
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, [])  # slow: it reads every list of files
        return f"{top} {importlib.metadata.version(names[0])}" if names else ""


def from_library(thing: FunctionType) -> bool:
    """Whether a function was written in a library, whatever module it now calls its own (dataclasses' methods)."""
    file = source_file(thing)
    return file is not None and _below(file, INSTALLED) and not _below(file, (PACKAGE,))


def module_digest(name: str) -> str:
    """Name a module of this package by its source and that of everything it imports of this package."""
    return file_digest(_package()[name])


def file_digest(file: Path) -> str:
    """Name a file by its source and that of everything it imports, in 16 hexadecimal digits.

    This package is read once a process; what lies in a user's folder is read again where a file there was edited.
    """
    return _digest(file, () if _below(file, (PACKAGE,)) else _stamps(file.parent))


def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of the Python files in a folder."""
    found = [(file, file.stat()) for file in sorted(folder.glob("*.py"))]
    return tuple((file.name, there.st_mtime_ns, there.st_size) for file, there in found)


@functools.cache
def _digest(file: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    state = hashlib.sha256(libraries().encode())
    for one in sorted(closure(file)):
        state.update(f"{one.name} {_parsed(one)[0]}".encode())
    return state.hexdigest()[:16]


def closure(file: Path) -> set[Path]:
    """The file and all that it imports, directly or not, as far as it is not installed."""
    found: set[Path] = set()
    waiting = [file.resolve()]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += _parsed(one)[1]
    return found


def _parsed(file: Path) -> tuple[str, tuple[Path, ...]]:
    """A digest of what a file does, and the files that it imports."""
    there = None if _below(file, (PACKAGE,)) else file.stat()
    return _read(file, 0 if there is None else there.st_mtime_ns, 0 if there is None else there.st_size)


@functools.cache
def _read(file: Path, changed: int, size: int) -> tuple[str, tuple[Path, ...]]:
    text = file.read_bytes()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return hashlib.sha256(text).hexdigest(), ()
    tree.body = [node for node in tree.body if not _is_suite(node)]
    imported = tuple(dict.fromkeys(_imports(tree.body, file)))
    _take_out_texts(tree)
    return code_digest(compile(tree, "", "exec", dont_inherit=True)), imported


def code_digest(code: CodeType) -> str:
    """Name what a piece of code does, wherever it stands, in 16 hexadecimal digits."""
    consts = [code_digest(const) if isinstance(const, CodeType) else _const(const) for const in code.co_consts]
    parts = (code.co_code, code.co_names, code.co_varnames, code.co_exceptiontable, consts)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _const(value: object) -> str:
    """A constant as text that is the same in every process: sets have no order of their own."""
    return f"set {sorted(map(repr, value))}" if isinstance(value, frozenset) else repr(value)


def _imports(body: list[ast.stmt], file: Path) -> Iterator[Path]:
    """The files that the imports below `body` lead to, wherever they stand; those for types alone are left out."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name, file)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, file)
            for alias in node.names:
                yield from _files(f"{base}.{alias.name}" if base else alias.name, file)
        for inner in _bodies(node):
            yield from _imports(inner, file)


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements that stand directly in a statement."""
    for name in ("body", "orelse", "finalbody"):
        if isinstance(inner := getattr(node, name, None), list):
            yield inner
    for name in ("handlers", "cases"):
        for part in getattr(node, name, ()):
            yield part.body


def _take_out_texts(node: ast.AST) -> None:
    """Take docstrings, and other texts that stand alone, out of a tree."""
    for body in _bodies(node):
        kept = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
        body[:] = kept if kept or not body else [ast.Pass(lineno=1, col_offset=0)]
        for one in body:
            _take_out_texts(one)


def _absolute(node: ast.ImportFrom, file: Path) -> str:
    """The module that is imported from; of a relative import inside this package its full name, else the bare one."""
    if not node.level or not _below(file, (PACKAGE,)):
        return node.module or ""
    parts = file.relative_to(PACKAGE.parent).parts[: -node.level]
    return ".".join([*parts, *((node.module or "").split(".") if node.module else [])])


def _files(module: str, importer: Path) -> Iterator[Path]:
    """The source files of a module and of the packages around it, where they are this package's or the user's."""
    parts = module.split(".")
    names = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    if parts[0] == "robustprune":
        yield from (_package()[name] for name in names if name in _package())
    elif not _below(importer, (PACKAGE,)) and parts[0] not in sys.stdlib_module_names:
        known = _existing(getattr(sys.modules.get(module), "__file__", None) or "")
        if known is not None and not _below(known, INSTALLED):
            yield known
        for root in (importer.parent, importer.parent.parent):
            for depth in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:depth])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


@functools.cache
def _package() -> dict[str, Path]:
    """The modules of this package by name."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def _is_suite(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "SUITE" for target in targets)


@functools.cache
def _existing(name: str) -> Path | None:
    path = Path(name)
    return path.resolve() if name.endswith(".py") and path.is_file() else None


@functools.cache
def _below(file: Path, folders: tuple[Path, ...]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)
