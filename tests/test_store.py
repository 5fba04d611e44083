import dataclasses
import functools
import json
import threading
import time
from pathlib import Path

import pytest

from robustprune.store import NotMeasured, Store, code_version, describe, digest, write_whole


@dataclasses.dataclass(frozen=True)
class Setting:
    size: int
    name: str = "a"


@dataclasses.dataclass(frozen=True)
class Scale:
    by: float

    def apply(self, x: float) -> float:
        return x * self.by


def scale(x: float, by: float = 2.0) -> float:
    return x * by


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Setting(1), Setting(2)),
        ({"a": 1}, {"a": 2}),
        ((1, 2), (2, 1)),
        (0.1, 0.1 + 1e-16 + 1e-15),
        (scale, describe),
        (functools.partial(scale, by=2), functools.partial(scale, by=3)),
        (Scale(2).apply, Scale(3).apply),
        (1, "1"),
        (None, 0),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Setting(1), Setting(1, "a")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], (1, 2)),
        ({3, 1, 2}, {2, 3, 1}),
        (functools.partial(scale, by=2), functools.partial(scale, by=2)),
    ],
)
def test_what_is_the_same_has_the_same_digest(one, other):
    assert digest(one) == digest(other)


def test_a_closure_is_told_apart_by_what_it_closes_over():
    def times(factor):
        return lambda x: x * factor

    assert digest(times(2)) == digest(times(2))
    assert digest(times(2)) != digest(times(3))


def test_made_once_and_found_afterwards(tmp_path: Path):
    store, calls = Store(folder=tmp_path), []
    for _ in range(2):
        record = store.once("kind", {"a": 1}, lambda key: calls.append(key) or {"value": 7})
        assert record == {"value": 7}
    assert len(calls) == 1
    store.once("kind", {"a": 2}, lambda key: calls.append(key) or {"value": 8})
    assert len(calls) == 2


def test_an_error_leaves_no_record(tmp_path: Path):
    store = Store(folder=tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.once("kind", 1, lambda key: {"value": 1 / 0})
    assert not list(tmp_path.rglob("*.json"))
    assert store.once("kind", 1, lambda key: {"value": 2}) == {"value": 2}


def test_half_a_file_is_measured_again(tmp_path: Path):
    store = Store(folder=tmp_path)
    store.once("kind", 1, lambda key: {"value": 1})
    path = next(tmp_path.rglob("*.json"))
    path.write_text(path.read_text()[:-3])
    assert store.once("kind", 1, lambda key: {"value": 2}) == {"value": 2}


def test_readonly_makes_nothing(tmp_path: Path):
    with pytest.raises(NotMeasured):
        Store(folder=tmp_path, readonly=True).once("kind", 1, lambda key: {"value": 1})
    assert not list(tmp_path.iterdir())


def test_records_from_before_a_forced_run_count_as_missing(tmp_path: Path):
    Store(folder=tmp_path).once("kind", 1, lambda key: {"value": 1})
    forced = Store(folder=tmp_path, since=time.time() + 60)
    assert forced.get("kind", digest(1)) is None


def test_writers_side_by_side_never_show_half_a_file(tmp_path: Path):
    path, contents = tmp_path / "file.json", [json.dumps([n] * 20_000).encode() for n in range(4)]
    write_whole(path, contents[0])
    writers = [threading.Thread(target=lambda c=c: [write_whole(path, c) for _ in range(20)]) for c in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_code_version_speaks_of_the_named_parts():
    assert code_version("store") == code_version("store")
    assert code_version("store") != code_version("results")
