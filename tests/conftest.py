"""Tests run side by side (`pytest -n auto --dist loadfile`), so each process keeps to one thread."""

import gc
import os
import tempfile
from pathlib import Path

import torch

gc.disable()
"""Until all is imported and collected, which stays: looking through it for cycles is a sixth of the time."""

pytest_plugins = ["pytester"]

torch.set_num_threads(1)

os.environ["XDG_STATE_HOME"] = str(Path(tempfile.gettempdir()) / f"robustprune-tests-{os.environ.get('USER', 'user')}")
"""The secret of the tests' user: not that of the one who runs them."""


def pytest_runtest_setup() -> None:
    """Networks that a test does not seed are the same whichever tests ran before it, in whichever process."""
    torch.manual_seed(0)


def pytest_collection_finish() -> None:
    """Look for cycles again, but only among what tests make."""
    gc.freeze()
    gc.enable()
