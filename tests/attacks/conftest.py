"""The engine is tested with its first pass in float32 and in bfloat16; a processor without units for it emulates it."""

import pytest

from robustprune.attacks.engine.settings import Settings


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request, monkeypatch):
    """Make this the precision of every evaluation that asks for none: results must not depend on the processor."""
    monkeypatch.setitem(Settings.__init__.__kwdefaults__, "precision", request.param)
    return request.param
