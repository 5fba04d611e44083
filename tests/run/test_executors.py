"""Every executor does the same work: values in order, errors raised, the listener told."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from suite_files import Silent

from robustprune.errors import InputError
from robustprune.names import import_file, imported_files
from robustprune.run.executors import Local, Processes, choose
from robustprune.run.executors.processes import _packed, _unpacked
from robustprune.run.measurement import SAID


@dataclass(frozen=True)
class Item:
    number: int
    needs: tuple[str, ...] = ()

    @property
    def id(self):
        return f"item {self.number}"


@dataclass(frozen=True)
class Squares:
    """Work that says where it is done; `bad` is an item that fails."""

    bad: int = -1

    def __call__(self, item, needed, tick):
        tick("squaring", 0, 1)
        if item.number == self.bad:
            raise ValueError(f"{item.id} is bad")
        return item.number**2, os.getpid()


ITEMS = [Item(number) for number in (3, 1, 2)]


@pytest.mark.parametrize("executor", [Local(), Processes(count=2)], ids=["local", "processes"])
def test_values_come_in_the_order_of_the_items_and_the_listener_hears_of_each(executor):
    heard = Silent()
    values = executor.each(Squares(), ITEMS, heard)
    assert [*values] == [item.id for item in ITEMS]
    assert [square for square, _ in values.values()] == [9, 1, 4]
    assert ({process for _, process in values.values()} == {os.getpid()}) == isinstance(executor, Local)
    assert sorted(heard.done) == ["item 1", "item 2", "item 3"]
    assert ("item 3", "squaring") in heard.stages
    assert executor.each(Squares(), [], heard) == {}


@pytest.mark.parametrize("executor", [Local(), Processes(count=2)], ids=["local", "processes"])
def test_an_error_is_raised_where_the_work_was_asked_for(executor):
    with pytest.raises(ValueError, match="item 1 is bad"):
        executor.each(Squares(bad=1), ITEMS, Silent())


@dataclass(frozen=True)
class Killed:
    """Work that is ended from outside, as the system does where memory runs out."""

    def __call__(self, item, needed, tick):
        tick("a line to say", 0, SAID)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_in_one_line_with_advice():
    heard = Silent()
    with pytest.raises(InputError, match="give fewer --workers, or the suite a smaller attack_batch"):
        Processes(count=1).each(Killed(), ITEMS[:1], heard)
    assert ("item 3", "a line to say") in heard.stages


MAIN = """
import os, signal, sys, time
from dataclasses import dataclass
from suite_files import Silent
from test_executors import ITEMS
from robustprune.run.executors import Processes

class Sleeps:
    def __call__(self, item, needed, tick):
        tick("asleep", 0, 1)
        time.sleep(600)

class Kills(Silent):
    def stage(self, case, stage, done, total):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    Processes(count=2).each(Sleeps(), ITEMS, Kills())
"""


def test_where_the_main_process_is_killed_nothing_is_left_that_holds_its_output(tmp_path):
    """Reading the output ends only when every process that could write to it is gone."""
    (tmp_path / "main.py").write_text(MAIN)
    here = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__)), *sys.path])
    there = {**os.environ, "PYTHONPATH": here}
    ran = subprocess.run([sys.executable, tmp_path / "main.py"], env=there, capture_output=True, timeout=60)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


def test_one_worker_needs_no_process_and_every_gpu_has_one_of_its_own(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert choose("cpu", 1) == Local()
    assert choose("cpu", 3) == Processes(count=3)
    assert choose("cuda", gpus=1) == choose("mps") == choose("cuda:1", gpus=4) == Local()
    assert choose("cuda", gpus=2) == Processes(count=2, gpus=("0", "1"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert choose("cuda", 3, gpus=2) == Processes(count=3, gpus=("4", "7"))


@dataclass(frozen=True)
class Sees:
    """Work that says which process does it, and which GPU that sees; it waits until another is at work too."""

    folder: str

    def __call__(self, item, needed, tick):
        mark = os.path.join(self.folder, str(os.getpid()))
        with open(mark, "w") as file:
            file.write("here")
        while len(os.listdir(self.folder)) < 2:
            time.sleep(0.02)
        return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_each_process_sees_another_gpu(tmp_path):
    values = Processes(count=2, gpus=("4", "7")).each(Sees(str(tmp_path)), ITEMS[:2], Silent())
    assert sorted(values.values()) == ["4", "7"]


@dataclass(frozen=True)
class Adds:
    """Work on numbers: the item's own, and those of what it needs."""

    def __call__(self, item, needed, tick):
        time.sleep(0.3)
        return item.number + sum(needed)


class Asked:
    """An item that counts how often it is asked what it needs, which may cost it something."""

    def __init__(self, number, *needs):
        self.number, self.id, self.names, self.times = number, f"item {number}", needs, 0

    @property
    def needs(self):
        self.times += 1
        return self.names


@pytest.mark.parametrize("executor", [Local(), Processes(count=2)], ids=["local", "processes"])
def test_values_flow_to_the_items_that_need_them(executor):
    chain = [Asked(1, "known"), Asked(2, "item 1"), Asked(3), Asked(4, "item 2", "item 3", "item 1")]
    values = executor.each(Adds(), chain, Silent(), {"known": 10, "not needed": 0})
    assert values == {"item 1": 11, "item 2": 13, "item 3": 3, "item 4": 4 + 13 + 3 + 11}
    assert max(item.times for item in chain) <= 2, "however often the main process turns round"


def test_a_file_that_can_no_longer_be_imported_matters_only_where_it_is_missed(tmp_path):
    file = tmp_path / "gone.py"
    file.write_text("def answer():\n    return 41\n")
    module = import_file(file)
    apart, wanted = _packed(41), _packed(module.answer)
    del sys.modules[module.__name__]
    file.write_text("1 / 0\n")
    assert _unpacked(apart) == 41
    with pytest.raises(InputError, match=r"gone\.py: cannot be imported: ZeroDivisionError"):
        _unpacked(wanted)


def test_a_file_that_ended_oddly_while_it_was_imported_is_no_module(tmp_path):
    file = tmp_path / "odd.py"
    file.write_text("class Odd(BaseException):\n    pass\n\n\nraise Odd\n")
    with pytest.raises(BaseException, match=r"^$") as raised:
        import_file(file)
    assert type(raised.value).__name__ == "Odd"
    assert file not in imported_files().values()
