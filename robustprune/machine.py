"""Where a number was made: commit, versions, device, processor, threads. It travels with every result.

Nothing in here fails: what cannot be found out is None. torch is imported only when it is asked something, so
that reports can be made where there is none.
"""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError

if TYPE_CHECKING:
    import torch


PACKAGES = ("robustprune", "torchvision", "torchattacks", "numpy")


def environment(device: str | torch.device | None = None, folder: Path | None = None) -> dict[str, Any]:
    """Return what a result has to remember about its making, as plain JSON data.

    `commit` is that of the git repository around `folder`, or the current one (None outside one), `dirty` whether
    tracked files differ from it; a package that is not installed has version None. `device` is the device in
    use.

    >>> sorted(environment("cpu"))[:4]
    ['commit', 'device', 'device_name', 'dirty']
    """
    import torch

    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "dirty": bool(changes) if commit is not None and changes is not None else None,
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "torch": str(torch.__version__),
        "device": None if device is None else str(device),
        "device_name": None if device is None else device_name(device),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }


def user_name() -> str:
    """Return who is at work here, "unknown" where the system has no name for that.

    >>> bool(user_name())
    True
    """
    from getpass import getuser

    try:
        return getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def available_devices() -> list[str]:
    """Return the devices that torch can use here, the best last.

    >>> available_devices()[0]
    'cpu'
    """
    import torch

    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.append("mps")
    if torch.cuda.is_available():
        devices += [f"cuda:{number}" for number in reversed(range(torch.cuda.device_count()))]
    return devices


def pick_device(name: str | None = None) -> torch.device:
    """Return the device of that name, e.g. cpu, mps, cuda or cuda:1; None or "auto" picks the best there is.

    Raises InputError for one that is not here, naming those that are.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    import torch

    here = available_devices()
    if name is None or name == "auto":
        return torch.device(here[-1])
    if name not in here and f"{name}:0" not in here:
        raise InputError(f"device {name!r} is not available; available: {', '.join(here)}")
    return torch.device(name)


def device_name(device: str | torch.device) -> str:
    """Return what the device is, e.g. the name of the graphics card, or of the processor for cpu and mps."""
    import torch

    if torch.device(device).type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return processor_name()


@cache
def processor_name() -> str:
    """Return the processor's name as the system gives it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    named = _output("sysctl", "-n", "machdep.cpu.brand_string") if platform.system() == "Darwin" else None
    return named or platform.processor() or platform.machine() or "unknown"


def _git(folder: Path | None, *arguments: str) -> str | None:
    return _output("git", *([] if folder is None else ["-C", str(folder)]), *arguments)


def _output(*command: str) -> str | None:
    """What a command prints; None if it is absent, fails or takes over 5 seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
