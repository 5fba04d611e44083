"""What ships as a candidate: the file, or a copy in half precision, and the float network that it was made from.

The twin is opened as every model is (given.py); the file is opened by its runtime, and nothing in it is unpickled. It
is opened again wherever the network is built again, and must then be the same to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from robustprune.data import data_root
from robustprune.errors import InputError
from robustprune.models.artefact import Artefact
from robustprune.models.runtimes import FORMATS, HALVES, Half, Runtime, open_runtime
from robustprune.review.given import Given, open_candidate


@dataclass(frozen=True, kw_only=True)
class Opener:
    """Opens what ships, again and again: `what` is the file, or the precision of a copy; `sha256` what it held."""

    what: Path | str
    sha256: str
    twin: Given | None

    def __call__(self) -> nn.Module:
        """Return it as a network. InputError where the file is another one by now."""
        net = self.twin.load() if self.twin is not None else None
        runtime = _runtime(self.what, net)
        if runtime.sha256 != self.sha256:
            raise InputError(f"{self.what}: was changed while it was reviewed; review it again")
        return Artefact(runtime, net)


def ships(text: str) -> bool:
    """Whether a candidate is named as what ships: a file of such a kind, or a precision.

    >>> ships("net.onnx"), ships("float16"), ships("net.safetensors"), ships("nets.py:small@net.pt")
    (True, True, False, False)
    """
    return text in HALVES or (":" not in text and "@" not in text and Path(text).suffix in FORMATS)


def open_artefact(text: str, twin: Given | None, example: Tensor) -> Given:
    """Open what ships beside its float twin; `example`, (1, C, H, W), is a real input."""
    if text in HALVES and twin is None:
        raise InputError(f"{text}: a copy of which network? expected --twin SPEC[@FILE]")
    what = text if text in HALVES else _placed(Path(text))
    runtime = _runtime(what, twin.load() if twin is not None and text in HALVES else None)
    return Given(
        spec=f"{runtime.kind} of {twin.spec}" if twin is not None else runtime.kind,
        factory=Opener(what=what, sha256=runtime.sha256, twin=twin),
        weights=None,
        example=example,
        ships=Path(what),
        described={"runtime": runtime.kind, "content": runtime.sha256, "bytes": runtime.bytes},
    )


def _runtime(what: Path | str, net: nn.Module | None) -> Runtime:
    if isinstance(what, Path):
        return open_runtime(what)
    assert net is not None
    return Half(net, what)


def _placed(file: Path) -> Path:
    """Return the file, as given or below the data folder."""
    return next((place.resolve() for place in (file, data_root() / file) if place.is_file()), file)


def open_reviewed(candidate: str, weights: Path | None, twin: str | None, parent: Given) -> tuple[Given, Given | None]:
    """Open a candidate by its name, and its float twin where one is given and the candidate is what ships."""
    if not ships(candidate):
        if twin is not None:
            endings = ", ".join(FORMATS)
            raise InputError(f"--twin {twin}: {candidate} gives its own gradients; expected a file ending in {endings}")
        return open_candidate(candidate, weights, parent), None
    if weights is not None:
        raise InputError(f"--weights {weights}: {candidate} holds its own; those of its float twin go with --twin")
    beside = None if twin is None else open_candidate(twin, None, parent)
    return open_artefact(candidate, beside, parent.example), beside
