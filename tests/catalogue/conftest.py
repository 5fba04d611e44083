"""One sandbox a test: bad inputs are made in it, and nothing may change in it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from robustprune.suite.refused import objects

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

pytest.register_assert_rewrite("sandbox")


@pytest.fixture(scope="session", autouse=True)
def _imported():
    """Libraries are imported once, and not while an answer is waited for."""
    objects()


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """An empty sandbox: home, caches and temporary files lie in it too."""
    for name in ("work", "outside", "tmp", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module("sandbox").Sandbox(tmp_path)
