"""Work in a process of its own, so that whatever code of a user does to its process is seen from outside.

Such code may end its process (sys.exit, os._exit, a segmentation fault, a signal) or exit with any code it likes. What
counts is the message that the child sends when its work is done; a child that ends without one has failed. It says so
itself, as plain JSON: nothing that is unpacked here can run code.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from robustprune.errors import InputError
from robustprune.run.lifeline import end_with_parent

PATIENCE = 3.0
"""Seconds that a child has to end after it was asked to."""

Work = Callable[..., Mapping[str, Any]]


class Ended(InputError):
    """A child ended without saying that its work is done."""


class Terminated(BaseException):
    """This process was asked to end, by the signal `number`; `said` is what its child said before it ended."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.said: dict[str, Any] | None = None


def in_child(method: str, work: Work, *args: Any) -> dict[str, Any]:
    """Return what `work(*args)`, called in a process of its own, says as plain JSON data.

    `method` is how the process begins (multiprocessing). Raises Ended where it ends before its work does. It is ended
    with this process, and hears of an interrupt of this one. Where it was interrupted, so is this process; a request
    to end is passed on, and raises Terminated when the child is gone.
    """
    context: Any = multiprocessing.get_context(method)
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(writer, work, *args), name="robustprune")
    with passed_on(process) as pressed:
        try:
            process.start()
            writer.close()
            wait([reader, process.sentinel])
            said = _received(reader)
            process.join(None if said is None else PATIENCE)
        except Terminated as asked:
            _stop(process)
            asked.said = _received(reader)
            raise
        finally:
            _stop(process)
    if said is None and pressed:
        raise KeyboardInterrupt
    if said is None:
        raise Ended(f"the process that did the work ended by itself before it was done ({_how(process.exitcode)})")
    return said


@contextmanager
def passed_on(process: Any) -> Iterator[list[int]]:
    """Pass an interrupt on to a child, and note it; raise Terminated at the first request to end."""
    pressed: list[int] = []
    asked: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        pressed.append(number)
        if process.pid is not None and process.exitcode is None:
            os.kill(process.pid, signal.SIGINT)

    def end(number: int, frame: object) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    wanted: dict[int, Any] = {signal.SIGINT: interrupt, signal.SIGTERM: end}
    if hasattr(signal, "SIGHUP"):
        wanted[signal.SIGHUP] = end
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(writer: Connection, work: Work, *args: Any) -> None:
    """Do the work in the child, and say what came of it."""
    end_with_parent()
    writer.send_bytes(json.dumps(dict(work(*args))).encode())


def _received(reader: Connection) -> dict[str, Any] | None:
    """Return what a child said; None where it said nothing that can be read."""
    try:
        said = json.loads(reader.recv_bytes()) if reader.poll(0) else None
    except (EOFError, OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _stop(process: Any) -> None:
    """End a child that is still there: it is asked to, and then made to."""
    if process.pid is None or not process.is_alive():
        return
    process.terminate()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()


def _how(code: int | None) -> str:
    """Say how a process ended.

    >>> _how(0), _how(-11)
    ('exit code 0', 'signal SIGSEGV')
    """
    if code is not None and code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
