"""A store that comes with a repository is not believed."""

from __future__ import annotations

import json

import pytest

from robustprune.run.own import OwnStore, origins, secret
from robustprune.run.store import Store


@pytest.fixture
def mine(tmp_path):
    store = OwnStore(folder=tmp_path / "store", secret="0" * 64)
    store.put("attacked", "one", {"clean": [True, False], 3: (0.1, 1e-17)})
    return store


def forged(store: Store, change) -> None:
    path = store.path("attacked", "one")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_what_was_put_is_found_as_it_was(mine):
    assert mine.get("attacked", "one") == {"clean": [True, False], "3": [0.1, 1e-17]}


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["clean"].append(True),
        lambda record: record.pop("signature"),
        lambda record: record.update(signature="0" * 64),
        lambda record: record.update(signature=None),
        lambda record: record.update(signature="\udc80"),
    ],
)
def test_what_somebody_else_wrote_counts_as_missing(mine, change):
    forged(mine, change)
    assert mine.get("attacked", "one") is None
    mine.put("attacked", "one", {"clean": [False]})
    assert mine.get("attacked", "one") == {"clean": [False]}


def test_a_record_holds_only_under_its_own_name_and_for_its_own_user(mine):
    mine.path("attacked", "one").rename(mine.path("attacked", "two"))
    assert mine.get("attacked", "two") is None
    assert OwnStore(folder=mine.folder, secret="1" * 64).get("attacked", "two") is None


def test_it_is_told_what_was_found_and_what_was_measured(mine):
    again = OwnStore(folder=mine.folder, secret=mine.secret)
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
