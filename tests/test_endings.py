"""How verbs end: whatever happens, one line and a code that says what it was; 0 only for what was earned."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import click
import pytest

from robustprune.cli.child import Ended, Terminated, in_child
from robustprune.cli.ending import Ending, ending_of
from robustprune.cli.program import earned
from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.names import import_file

THEIRS = """
import os, sys

def ends(how):
    if how == "forever":
        return ends(how)
    raise {"exit": SystemExit(0), "stop": KeyboardInterrupt(), "base": BaseException("odd"), "key": KeyError("k")}[how]
"""


def fails(error):
    def work():
        raise error

    return work


@pytest.fixture
def ctrl_c():
    """Ctrl-C as Python has it; a shell has children in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def theirs(tmp_path):
    """A file of a user, imported as suites and factories are."""
    file = tmp_path / "theirs.py"
    file.write_text(THEIRS)
    return import_file(file).ends


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("a\nb"), 2, "a b"),
        (OSError(28, "No space left on device", "/full/x"), 2, "/full/x: No space left on device"),
        (NotADirectoryError(20, "Not a directory", "file/below"), 2, "file/below: Not a directory"),
        (KeyboardInterrupt(), 130, "stopped"),
        (InputError("half a pair \udc80, \x1b[1m"), 2, "half a pair \\udc80, \\x1b[1m"),
        (SystemExit(0), 2, "raised SystemExit"),
    ],
)
def test_what_goes_wrong_is_one_line(error, code, text, capsys, ctrl_c):
    assert ending_of(fails(error)).code == code
    said = capsys.readouterr().err
    assert said.startswith("robustprune: ")
    assert text in said
    assert said.count("\n") == 1


def test_an_error_of_this_program_is_70_and_its_traceback_lies_in_a_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert ending_of(partial(sorted, 1)).code == 70
    (log,) = tmp_path.iterdir()
    assert str(log) in capsys.readouterr().err
    assert "'int' object is not iterable" in log.read_text()


@pytest.mark.parametrize(("how", "name"), [("exit", "SystemExit"), ("base", "BaseException"), ("key", "KeyError")])
def test_what_code_of_a_user_raises_is_said_of_it(how, name, theirs, capsys):
    def verb():
        return theirs(how)

    assert ending_of(verb).code == 2
    assert name in capsys.readouterr().err


def test_a_recursion_without_end_is_theirs(theirs, capsys):
    assert ending_of(lambda: theirs("forever")).code == 2
    assert "theirs.py, line 6 raised RecursionError" in capsys.readouterr().err


def test_the_help_of_a_verb_still_ends_with_0():
    with pytest.raises(click.exceptions.Exit):
        ending_of(partial(click.Context(click.Command("any")).exit, 0))
    assert ending_of(lambda: Ending(code=3)).code == 3


def says():
    return {"value": [1, 2]}


def quits(code):
    sys.exit(code)


def drops():
    os._exit(0)


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_child_says_what_came_of_its_work():
    assert in_child("fork", says) == {"value": [1, 2]}


@pytest.mark.parametrize(
    ("work", "how"), [((quits, 0), "exit code 0"), ((drops,), "exit code 0"), ((is_killed,), "signal SIGKILL")]
)
def test_a_child_that_ends_without_a_word_has_failed(work, how):
    with pytest.raises(Ended, match=how):
        in_child("fork", *work)


def waits(how):
    """Wait for a long time, ready to end as asked, as by default, or never."""
    handlers = {"said": lambda *_: quits(0), "default": signal.SIG_DFL, "never": signal.SIG_IGN}
    signal.signal(signal.SIGTERM, handlers[how])
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.1)


@pytest.mark.parametrize("how", ["said", "default", "never"])
def test_a_request_to_end_ends_the_child_too(how):
    asking = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    asking.start()
    with pytest.raises(Terminated, match="SIGTERM") as ended:
        in_child("fork", waits, how)
    asking.join()
    assert (ended.value.number, ended.value.said) == (signal.SIGTERM, None)
    assert multiprocessing.active_children() == []


@pytest.fixture(params=[-3600.0, 0.0, 3600.0])
def server(request, monkeypatch):
    """A file server whose clock is ahead or behind: what is put in place there gets its time."""
    put = os.replace

    def replace(a, b):
        put(a, b)
        now = time.time() + request.param
        os.utime(b, (now, now))

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.usefixtures("server")
def test_what_was_written_is_known_to_be_new_by_the_clock_of_its_folder(tmp_path):
    file, began = tmp_path / "table.md", time.monotonic()
    write_whole(file, b"1")
    said = {"kind": "", "paths": [str(file)]}
    assert earned(0, said, began) == Ending(code=0)
    there = file.stat().st_mtime - 60
    os.utime(file, (there, there))
    with pytest.raises(InputError, match="was not written"):
        earned(0, said, began)
    assert [*tmp_path.iterdir()] == [file]


def test_a_script_may_call_the_program_without_asking_whether_it_is_the_main_module(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("from robustprune.cli import main\nmain()\n")
    words = [sys.executable, script, "check", tmp_path / "none.py"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "none.py" in done.stderr
