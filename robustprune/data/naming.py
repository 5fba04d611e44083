"""What is wrong with a file, said in one legible line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robustprune.errors import InputError


def legible(text: str) -> str:
    r"""Escape what cannot be shown or written as UTF-8: line breaks, control characters, lone surrogates.

    A file name that is not UTF-8 holds lone surrogates, and so may JSON.

    >>> legible("caf\udce9"), legible("two\nlines"), legible("café")
    ('caf\\udce9', 'two\\nlines', 'café')
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


@contextmanager
def about(place: Path | str) -> Iterator[None]:
    """Turn what reading `place` may raise into an InputError of one line, with `place` in it."""
    name = legible(str(place))
    try:
        yield
    except InputError as error:
        text = legible(str(error))
        raise type(error)(text if name in text else f"{name}: {text}") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({legible(str(error))})") from error
    except MemoryError as error:
        raise InputError(f"{name}: does not fit into memory") from error
