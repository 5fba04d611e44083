"""Names for the command line. Objects are all a suite needs; a name serves only where one has to be typed.

Other packages add names through the entry-point group `robustprune.plugins`: an entry
`criteria.mine = pkg.module:factory` makes the criterion `mine` known here.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from robustprune.errors import InputError

TABLES = {
    "models": "robustprune.models:MODELS",
    "criteria": "robustprune.consensus:CRITERIA",
    "attacks": "robustprune.attacks:ATTACKS",
    "recipes": "robustprune.finetune:RECIPES",
    "datasets": "robustprune.data:DATASETS",
}
"""Kind -> where its table of factories (name -> zero-argument callable) stands."""


def load_object(where: str) -> Any:
    """Import `package.module:name`.

    >>> load_object("math:tau")
    6.283185307179586
    """
    module, _, name = where.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{where}: cannot be imported ({error}); expected package.module:name") from None


def named_object(spec: str) -> Any:
    """Find what is called `file.py:name` or `package.module:name`, packages of the working folder included."""
    module, _, name = spec.rpartition(":")
    if module.endswith(".py"):
        if not Path(module).is_file():
            raise InputError(f"{module}: no such file; expected path/to/file.py:{name}")
        if not hasattr(found := import_file(Path(module)), name):
            raise InputError(f"{module}: defines no {name!r}")
        return getattr(found, name)
    sys.path.append(here := str(Path.cwd()))
    try:
        return load_object(spec)
    finally:
        sys.path.remove(here)


def names(kind: str) -> Mapping[str, Callable[..., Any]]:
    """All factories of one kind, by name: ours, then those of installed plug-ins."""
    table: dict[str, Callable[..., Any]] = dict(load_object(TABLES[kind]))
    for entry in entry_points(group="robustprune.plugins"):
        group, _, name = entry.name.partition(".")
        if group == kind:
            table[name] = entry.load()
    return table


def find(kind: str, name: str) -> Any:
    """Make the object with this name. InputError names the closest ones that would have worked."""
    table = names(kind)
    if name not in table:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"no {kind} named {name!r}{hint} Known: {', '.join(sorted(table))}")
    return table[name]()


def describe_all(kind: str) -> dict[str, str]:
    """Name -> the first line of its documentation."""
    return {name: (made.__doc__ or "").strip().partition("\n")[0] for name, made in sorted(names(kind).items())}


PREFIX = "robustprune_file_"
"""How the names of modules begin that were imported from a file by its path, and of the packages that they lie in."""

IMPORT_SECONDS = 60.0
"""Seconds that importing a file may take: one that never ends would stop every verb that looks for suites."""

_imported: dict[str, tuple[int, int]] = {}
"""Modules beside such files, with time and size of the file that they were imported from."""

_folders: list[str] = []
"""Folders of such files; their other modules can be imported too."""


def module_name(path: Path) -> str:
    """The name under which every process imports a file: as a module of a package that stands for its folder."""
    path = path.resolve()
    return f"{_package_name(path.parent)}.{path.stem}_{hashlib.sha256(path.name.encode()).hexdigest()[:8]}"


def _package_name(folder: Path) -> str:
    return f"{PREFIX}{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def import_file(path: Path, name: str = "") -> ModuleType:
    """Run a Python file as a module of its own, with the modules beside it importable.

    `name` is that of the module where the file is a copy of one that another machine has imported.
    From `suites/mine.py` a helper beside it is reached by `import helper`, `from .helper import` and
    `from suites.helper import`. Files of one name in two folders are two modules, and so are the modules beside them;
    what was edited is imported anew. Raises InputError where the file is none, cannot be imported, or takes longer
    than `IMPORT_SECONDS`.
    """
    path = path.resolve()
    name = name or module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path}: not a Python file")
    try:
        with within(IMPORT_SECONDS, f"{path}: importing it takes"):
            _make_importable(path.parent)
            _make_package(name.rpartition(".")[0], path.parent)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, InputError) or not isinstance(error, Exception | SystemExit):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"{path}: cannot be imported: {reason}") from error
    for beside, file in _modules_below(path.parent).items():
        _imported[beside] = _stamp(file)
    return module


def imported_files() -> dict[str, Path]:
    """Name -> file of the modules that this process imported by their paths: another one may need them too."""
    found = {name: Path(file) for name, file in _files() if name.startswith(PREFIX)}
    return {name: file for name, file in found.items() if name == module_name(file) and file.is_file()}


@contextmanager
def files_imported(files: Mapping[str, Path]) -> Iterator[None]:
    """Unpack inside what another process has packed, with the files (by the names of their modules) that it imported.

    Much that it imported has nothing to do with it: a file that can no longer be imported matters where it is missed.
    """
    failed = list[InputError]()
    for name, path in files.items():
        try:
            sys.modules.get(name) or import_file(path, name)
        except InputError as error:
            failed.append(error)
    try:
        yield
    except (ImportError, AttributeError) as error:
        if failed:
            raise failed[0] from error
        raise


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Stop what runs inside after some seconds, with an InputError that begins with `what`.

    Only the main thread of a process can be stopped, and not on Windows; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise InputError(f"{what} longer than {seconds:g} seconds; expected definitions, nothing that runs for long")

    before = signal.signal(signal.SIGALRM, stop)
    waiting, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, waiting)
        signal.signal(signal.SIGALRM, before)


def _stamp(file: Path) -> tuple[int, int]:
    with suppress(OSError):
        there = file.stat()
        return there.st_mtime_ns, there.st_size
    return 0, 0


def _modules_below(folder: Path) -> dict[str, Path]:
    """Modules that lie in a folder and were imported by their name, with their files."""
    found = {name: file for name, file in _files() if file.startswith(f"{folder}{os.sep}") and name != "__main__"}
    return {name: Path(file) for name, file in found.items() if name != module_name(Path(file))}


def _files() -> list[tuple[str, str]]:
    """Names and files of all modules that have one."""
    return [(name, getattr(module, "__file__", None) or "") for name, module in list(sys.modules.items())]


def _make_importable(folder: Path) -> None:
    """Put a folder behind what is installed and before other such folders, whose modules of the same name give way."""
    for name, file in _modules_below(folder).items():
        if name in _imported and _imported[name] != _stamp(file):
            _forget(name)
    importlib.invalidate_caches()
    others = [other for other in _folders if other != str(folder)]
    here = {folder.name} | {entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()}
    for name, where in _files():
        if name.partition(".")[0] in here and any(where.startswith(other + os.sep) for other in others):
            _forget(name)
    for known in [str(folder), *_folders]:
        if known in sys.path and known in _folders:
            sys.path.remove(known)
    _folders[:] = [str(folder), *others]
    sys.path.extend(known for known in _folders if known not in sys.path)
    if folder.name.isidentifier() and _is_free(folder.name):
        _make_package(folder.name, folder)


def _forget(name: str) -> None:
    """Take a module out of those that are imported, and out of the package that it lies in."""
    del sys.modules[name]
    above, _, last = name.rpartition(".")
    vars(sys.modules.get(above, ModuleType(""))).pop(last, None)


def _is_free(name: str) -> bool:
    """Whether no package of code is known by a name; a bare folder is none."""
    there = sys.modules.get(name)
    if there is not None:
        return getattr(there, "__file__", None) is None and hasattr(there, "__path__")
    spec = importlib.util.find_spec(name)
    return spec is None or spec.origin is None


def _make_package(name: str, folder: Path) -> None:
    """Let a name stand for a folder: what lies there can be imported below it, and its __init__.py runs once."""
    there = sys.modules.get(name)
    if there is not None and [*getattr(there, "__path__", ())] == [str(folder)]:
        return
    start = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(folder)])
    if not start.is_file() or spec is None or spec.loader is None:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(package)
