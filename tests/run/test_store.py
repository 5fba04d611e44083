import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from robustprune.errors import InputError
from robustprune.files import write_all, write_whole
from robustprune.run.lock import alone
from robustprune.run.measurement import DAMAGED, SAID, Measurement, obtain
from robustprune.run.progress import Display
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


@dataclass(frozen=True, kw_only=True)
class Two(Seven):
    """Another one."""

    key: ClassVar[str] = "two"


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
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("kept")


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def holding(content):
    return lambda path: path.write_bytes(content)


def other(path):
    """The same file of another measurement, which is whole."""
    path.write_bytes(path.with_stem("two").read_bytes())


def resigned(path):
    """A record that this user signed, of a version that keeps other things in it."""
    Store(folder=path.parents[1]).put("kind", "one", {"schema": 99, "values": [7]})


CONTENTS = [
    b"",
    b"[]",
    b"[7]",
    b"7",
    b'"7"',
    b"null",
    b"NaN",
    b"{}",
    b'{"value":',
    b"\xff\xfe",
    b"[" * 100_000,
    b"\0" * 99,
]
DAMAGES = [cut, folder, link, pipe, other, *map(holding, CONTENTS)]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, damage) for file in ("one.json", "one.safetensors") for damage in DAMAGES),
        ("one.json", resigned),
        ("one.safetensors", Path.unlink),
    ],
)
def test_what_is_damaged_in_the_store_is_named_and_made_anew(tmp_path: Path, file, damage):
    wanted, store, told = Seven(), Store(folder=tmp_path), []
    ask(wanted, store)
    ask(Two(weights=b"weights of another"), store)
    damage(tmp_path / "kind" / file)
    with pytest.raises(NotMeasured):
        ask(wanted, replace(store, readonly=True))
    assert ask(wanted, store, told) == 7
    assert len(wanted.made) == 2
    assert (tmp_path / "kind" / "one.safetensors").read_bytes() == b"weights"
    assert [what for _, *what in told] == [[DAMAGED, SAID]]
    assert f"kind/{file} is {'missing' if damage is Path.unlink else 'damaged'}" in told[0][0]
    assert ask(wanted, replace(store, readonly=True)) == 7
    if damage is folder:
        assert [path.read_text() for path in tmp_path.rglob("inside")] == ["kept"]


@pytest.mark.parametrize("file", ["one.json", "one.safetensors"])
def test_no_flipped_byte_goes_unseen(tmp_path: Path, file):
    wanted, store = Seven(), Store(folder=tmp_path)
    ask(wanted, store)
    path = tmp_path / "kind" / file
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert ask(wanted, store) == 7
        assert len(wanted.made) == place + 2
        assert path.read_bytes() == whole


def test_other_weights_with_their_own_hash_in_the_record_are_not_believed(tmp_path: Path):
    store, wanted, told = Store(folder=tmp_path, secret="mine"), Seven(), []
    ask(wanted, store)
    record, weights = store.path("kind", "one"), store.path("kind", "one", ".safetensors")
    before, after = (hashlib.sha256(content).hexdigest().encode() for content in (b"weights", b"others"))
    assert before in record.read_bytes()
    record.write_bytes(record.read_bytes().replace(before, after))
    weights.write_bytes(b"others")
    assert ask(wanted, store, told) == 7
    assert (len(wanted.made), weights.read_bytes()) == (2, b"weights")
    assert [what for what, *_ in told if "is damaged (not what this user's runs wrote)" in what]


def test_a_record_that_is_not_there_is_nothing_to_speak_of(tmp_path: Path):
    told = []
    ask(Seven(), Store(folder=tmp_path), told)
    assert told == []


def test_a_file_in_place_of_a_kind_is_put_aside(tmp_path: Path):
    (tmp_path / "kind").write_text("in the way")
    assert [ask(Seven(), Store(folder=tmp_path)) for _ in range(2)] == [7, 7]
    assert [path.read_text() for path in tmp_path.glob(".kind.*")] == ["in the way"]


def test_many_damaged_files_are_told_in_two_lines(capsys):
    with Display("suite", 1) as display:
        for number in range(9):
            display.stage("case", f"store/{number}.json is damaged (so)", DAMAGED, SAID)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "case: store/0.json is damaged (so)"
    assert "9 files of the store" in last
    assert "store/1.json, store/2.json, store/3.json, ..." in last


@dataclass(frozen=True, kw_only=True)
class Slow(Seven):
    """One that takes its time and leaves a line each time that it is made."""

    log: Path = Path()

    def make(self, place, tick):
        with self.log.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return super().make(place, tick)


def test_two_who_ask_at_once_make_it_once_and_the_second_is_told(tmp_path: Path):
    wanted, told = Slow(log=tmp_path / "log"), []
    asking = [threading.Thread(target=ask, args=(wanted, Store(folder=tmp_path / "store"), told)) for _ in range(3)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert wanted.log.read_text() == "made\n"
    assert told == [("waiting for another run", 0, 1)] * 2
    assert not [*tmp_path.rglob("*.lock")]


def test_a_lock_of_a_process_that_was_killed_stops_nobody(tmp_path: Path):
    code = "import os, sys; from pathlib import Path; from robustprune.run.lock import alone\n"
    code += "with alone(Path(sys.argv[1]), print): os.kill(os.getpid(), 9)"
    path = tmp_path / "kind" / "one.lock"
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert path.exists()
    told = []
    assert ask(Seven(), Store(folder=tmp_path), told) == 7
    assert told == []
    assert not path.exists()


def test_where_nothing_can_be_locked_the_work_is_done(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = []
    with alone(tmp_path / "file" / "below.lock", pytest.fail), alone(tmp_path / "x.lock", pytest.fail):
        done.append(sorted(path.name for path in tmp_path.iterdir()))
    assert done == [["file", "x.lock"]]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_who_asks_again_inside_does_not_wait_for_itself(tmp_path: Path):
    path = tmp_path / "x.lock"
    with alone(path, pytest.fail):
        with alone(path, pytest.fail):
            pass
        assert path.exists()
    assert not path.exists()


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
