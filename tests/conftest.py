"""Tests run side by side (`pytest -n auto --dist loadfile`), so each process keeps to one thread."""

import os
import tempfile
from pathlib import Path

import torch

pytest_plugins = ["pytester"]

torch.set_num_threads(1)

os.environ["XDG_STATE_HOME"] = str(Path(tempfile.gettempdir()) / f"robustprune-tests-{os.environ.get('USER', 'user')}")
"""The secret of the tests' user: not that of the one who runs them."""


def pytest_runtest_setup() -> None:
    """Networks that a test does not seed are the same whichever tests ran before it, in whichever process."""
    torch.manual_seed(0)
