"""Data that a function of the user's own makes, as one types it: file.py:function or package.module:function."""

from __future__ import annotations

import re

from robustprune.data.base import Data
from robustprune.errors import InputError
from robustprune.names import named_object

_FUNCTION = re.compile(r"(.+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*")


def is_function(text: str) -> bool:
    """Whether a text names a function, and no file or folder.

    >>> is_function("texts.py:data"), is_function("pkg.texts:data"), is_function("texts.npz")
    (True, True, False)
    """
    return _FUNCTION.fullmatch(text) is not None


def made(spec: str) -> Data:
    """Call the function and return what it makes. InputError where it cannot be called or makes something else."""
    function = named_object(spec)
    if not callable(function):
        raise InputError(f"{spec}: is {type(function).__name__}, expected a function without arguments that gives Data")
    try:
        found = function()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{spec}: failed when called without arguments: {type(error).__name__}: {error}") from error
    if not isinstance(found, Data):
        raise InputError(f"{spec}: gives {type(found).__name__}, expected robustprune.data.Data")
    return found
