"""What a result remembers about its making, and the choice of a device."""

import json
import platform
import subprocess
import sys

import pytest
import torch

from robustprune import machine as module
from robustprune.errors import InputError
from robustprune.machine import available_devices, device_name, environment, pick_device


def git(folder, *arguments):
    settings = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_versions_threads_and_processor_are_those_of_this_process():
    found = environment("cpu")
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert found["threads"] == torch.get_num_threads()
    assert found["device"] == "cpu"
    assert found["device_name"] == found["processor"] != ""
    assert json.loads(json.dumps(found)) == found


def test_no_device_is_none():
    found = environment()
    assert found["device"] is None
    assert found["device_name"] is None


def test_the_commit_is_that_of_the_current_folder(repository, monkeypatch):
    head = git(repository, "rev-parse", "HEAD")
    assert (environment()["commit"], environment()["dirty"]) == (head, False)
    (repository / "new").write_text("untracked files are results, say")
    assert environment()["dirty"] is False
    (repository / "file").write_text("two")
    assert environment()["dirty"] is True
    inside = repository / "below"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert environment()["commit"] == head


def test_outside_a_repository_and_without_git_the_commit_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (environment()["commit"], environment()["dirty"]) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert environment()["commit"] is None


def test_a_missing_package_is_none(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    assert environment()["no-such-package"] is None


def test_the_best_device_is_picked_and_any_that_is_there():
    assert str(pick_device()) == str(pick_device("auto")) == available_devices()[-1]
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "", "cuda0"])
def test_an_absent_device_is_refused_with_those_that_are_there(name):
    with pytest.raises(InputError, match=f"device '{name}' is not available; available: cpu"):
        pick_device(name)


def test_cards_are_listed_best_last_and_may_go_without_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device}")
    assert available_devices()[-2:] == ["cuda:1", "cuda:0"]
    assert pick_device() == torch.device("cuda:0")
    assert pick_device("cuda") == torch.device("cuda")
    assert device_name("cuda:1") == "card cuda:1"
    with pytest.raises(InputError, match="available: cpu"):
        pick_device("cuda:2")


def test_importing_it_does_not_import_torch():
    code = "import sys, robustprune.machine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
