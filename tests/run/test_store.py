import json
import os
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from robustprune.errors import InputError
from robustprune.files import write_all, write_whole
from robustprune.run.measurement import SAID, Measurement, obtain
from robustprune.run.store import NotMeasured, Store


@dataclass(frozen=True, kw_only=True)
class Seven(Measurement[int]):
    """A measurement that counts how often it is made, with a file of weights."""

    kind: ClassVar[str] = "kind"
    key: ClassVar[str] = "one"
    made: list[int] = field(default_factory=list)
    weights: bytes | None = b"weights"
    value: float = 7

    def make(self, place, tick):
        self.made.append(1)
        if self.weights is not None:
            place.parent.mkdir(exist_ok=True)
            place.with_suffix(".safetensors").write_bytes(self.weights)
        return 7 / (self.value / 7)

    def write(self, value):
        return {"seven": value}

    def read(self, record, place):
        return int(record["seven"])


def ask(wanted, store, told=None):
    return obtain(wanted, store, lambda *what: None if told is None else told.append(what))


@pytest.mark.parametrize("weights", [None, b"weights"])
def test_made_once_and_found_afterwards(tmp_path: Path, weights):
    wanted = Seven(weights=weights)
    assert [ask(wanted, Store(folder=tmp_path)) for _ in range(2)] == [7, 7]
    assert len(wanted.made) == 1


def test_an_error_leaves_no_record(tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        ask(Seven(value=0, weights=None), Store(folder=tmp_path))
    assert not list(tmp_path.rglob("*"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("one.json", cut, 0),  # half a record is none
        ("one.json", lambda path: path.write_text("[]"), 0),
        ("one.json", lambda path: path.write_text("{}"), 1),
        ("one.json", lambda path: path.write_text(path.read_text().replace("seven", "eight")), 1),
        ("one.safetensors", cut, 1),
        ("one.safetensors", flip, 1),
        ("one.safetensors", Path.unlink, 1),
        ("one.safetensors", lambda path: path.write_bytes(b"other weights"), 1),
    ],
)
def test_what_is_damaged_in_the_store_is_made_anew_and_that_is_said(tmp_path: Path, file, damage, said):
    wanted, store, told = Seven(), Store(folder=tmp_path), []
    ask(wanted, store)
    damage(tmp_path / "kind" / file)
    with pytest.raises(NotMeasured):
        ask(wanted, replace(store, readonly=True))
    assert ask(wanted, store, told) == 7
    assert len(wanted.made) == 2
    assert (tmp_path / "kind" / "one.safetensors").read_bytes() == b"weights"
    whole = [line for line, _, total in told if total == SAID]
    assert all("damaged" in line and "kind/one" in line for line in whole)
    assert len(whole) == said


def test_readonly_makes_nothing(tmp_path: Path):
    with pytest.raises(NotMeasured):
        ask(Seven(), Store(folder=tmp_path, readonly=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_a_forced_run_makes_everything_once_whatever_the_clocks_say(tmp_path: Path, hours):
    wanted, forced = Seven(), Store(folder=tmp_path, run="today")
    ask(wanted, Store(folder=tmp_path))
    for made in (2, 2, 2):
        assert ask(wanted, forced) == 7
        assert len(wanted.made) == made
        stamp = time.time() + 3600 * hours
        os.utime(tmp_path / "kind" / "one.json", (stamp, stamp))
    assert ask(wanted, Store(folder=tmp_path)) == 7
    assert len(wanted.made) == 2


@pytest.mark.parametrize("place", ["file/below", "folder", "x" * 5000])
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written") as error:
        write_whole(tmp_path / place, b"new")
    assert len(str(error.value)) < 400
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_full_disk_changes_no_file_of_several(tmp_path: Path, monkeypatch):
    write_all(tmp_path, {"a": b"old", "b": b"old"})
    opened, real = [], os.fdopen

    def full(handle, mode):
        opened.append(handle)
        if len(opened) == 2:
            os.close(handle)
            raise OSError(28, "No space left on device")
        return real(handle, mode)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_all(tmp_path, {"a": b"new", "b": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}


def test_writers_side_by_side_never_show_half_a_file(tmp_path: Path):
    path, contents = tmp_path / "file.json", [json.dumps([n] * 20_000).encode() for n in range(4)]
    write_whole(path, contents[0])
    writers = [threading.Thread(target=lambda c=c: [write_whole(path, c) for _ in range(20)]) for c in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
