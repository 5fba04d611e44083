import json
import threading
import time
from pathlib import Path

import pytest

from robustprune.files import write_whole
from robustprune.run.store import NotMeasured, Store


def test_made_once_and_found_afterwards(tmp_path: Path):
    store, calls = Store(folder=tmp_path), []
    for _ in range(2):
        record = store.once("kind", "one", lambda: calls.append(1) or {"value": 7})
        assert record == {"value": 7}
    assert len(calls) == 1
    store.once("kind", "two", lambda: calls.append(2) or {"value": 8})
    assert len(calls) == 2


def test_an_error_leaves_no_record(tmp_path: Path):
    store = Store(folder=tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.once("kind", "one", lambda: {"value": 1 / 0})
    assert not list(tmp_path.rglob("*.json"))
    assert store.once("kind", "one", lambda: {"value": 2}) == {"value": 2}


def test_half_a_file_is_measured_again(tmp_path: Path):
    store = Store(folder=tmp_path)
    store.once("kind", "one", lambda: {"value": 1})
    path = next(tmp_path.rglob("*.json"))
    path.write_text(path.read_text()[:-3])
    assert store.once("kind", "one", lambda: {"value": 2}) == {"value": 2}


def test_readonly_makes_nothing(tmp_path: Path):
    with pytest.raises(NotMeasured):
        Store(folder=tmp_path, readonly=True).once("kind", "one", lambda: {"value": 1})
    assert not list(tmp_path.iterdir())


def test_records_from_before_a_forced_run_count_as_missing(tmp_path: Path):
    Store(folder=tmp_path).once("kind", "one", lambda: {"value": 1})
    forced = Store(folder=tmp_path, since=time.time() + 60)
    assert forced.get("kind", "one") is None


def test_writers_side_by_side_never_show_half_a_file(tmp_path: Path):
    path, contents = tmp_path / "file.json", [json.dumps([n] * 20_000).encode() for n in range(4)]
    write_whole(path, contents[0])
    writers = [threading.Thread(target=lambda c=c: [write_whole(path, c) for _ in range(20)]) for c in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
