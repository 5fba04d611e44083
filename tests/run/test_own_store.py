"""A store that comes with a repository is not believed."""

from __future__ import annotations

import json

import pytest

from robustprune.run.own import secret
from robustprune.run.store import Damaged, Store, origins


@pytest.fixture
def mine(tmp_path):
    store = Store(folder=tmp_path / "store", secret="0" * 64)
    store.put("attacked", "one", {"clean": [True, False], 3: (0.1, 1e-17)})
    return store


def test_what_was_put_is_found_as_it_was(mine):
    assert mine.get("attacked", "one") == {"clean": [True, False], "3": [0.1, 1e-17]}


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["record"]["clean"].append(True),
        lambda file: file.pop("signature"),
        lambda file: file.update(signature="0" * 64),
        lambda file: file.update(signature=None),
        lambda file: file.update(signature="\udc80"),
        lambda file: file.update(schema=2),
    ],
)
def test_what_somebody_else_wrote_is_not_believed(mine, change):
    path = mine.path("attacked", "one")
    file = json.loads(path.read_text())
    change(file)
    path.write_text(json.dumps(file, separators=(",", ":")))
    with pytest.raises(Damaged, match=r"attacked/one\.json is damaged"):
        mine.get("attacked", "one")
    mine.put("attacked", "one", {"clean": [False]})
    assert mine.get("attacked", "one") == {"clean": [False]}


def test_a_record_holds_only_under_its_own_name_and_for_its_own_user(mine):
    with pytest.raises(Damaged):
        Store(folder=mine.folder, secret="1" * 64).get("attacked", "one")
    with pytest.raises(Damaged):
        Store(folder=mine.folder).get("attacked", "one")
    mine.path("attacked", "one").rename(mine.path("attacked", "two"))
    with pytest.raises(Damaged):
        mine.get("attacked", "two")
    assert mine.get("attacked", "one") is None


def test_it_is_told_what_was_found_and_what_was_measured(mine):
    again = Store(folder=mine.folder, secret=mine.secret)
    assert again.get("attacked", "one")
    assert again.get("cost", "one") is None
    again.put("cost", "one", {})
    assert again.get("cost", "one") == {}
    assert origins(again) == {"attacked": {"found": 1}, "cost": {"measured": 1}}


def test_a_secret_is_kept_for_its_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first = secret.__wrapped__()
    file = tmp_path / "robustprune" / "secret"
    assert file.stat().st_mode & 0o077 == 0
    assert secret.__wrapped__() == first == file.read_text()
    file.chmod(0o644)
    assert secret.__wrapped__() != first


def test_where_none_can_be_kept_nothing_is_found(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert secret.__wrapped__() != secret.__wrapped__()
