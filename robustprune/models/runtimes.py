"""What runs a file that ships: onnxruntime, TorchScript's interpreter, a program of torch.export, or half precision.

Each is a function from images to logits on the CPU, without gradients. An ONNX file is data for onnxruntime; programs
of torch are looked through before they are opened (archives.py): nothing that a file brings along is unpickled.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from robustprune.errors import InputError, MissingData
from robustprune.models.archives import exported_archive, script_archive
from robustprune.models.checkpoints import file_hash, weights_hash
from robustprune.models.external import external_files
from robustprune.models.made import logits_alone

FLOATS = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
"""Types of an ONNX input that hold pixels in [0,1]."""


class Runtime(ABC):
    """Computes what ships; `sha256` names its content, `bytes` is its size on disk."""

    kind: str
    sha256: str
    bytes: int

    @property
    def content_key(self) -> list[str]:
        """What measurements of it are keyed by."""
        return [self.kind, self.sha256]

    @abstractmethod
    def answer(self, x: Tensor) -> Any:
        """Return what it computes for images `x` (n, ...), float32 on the CPU."""

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) of images `x` (n, ...) as float32, where `x` is."""
        logits = logits_alone(self.answer(x.detach().to("cpu", torch.float32)))
        return logits.float().to(x.device)

    def __deepcopy__(self, memo: Any) -> Self:
        """Return itself: running it changes nothing of it."""
        return self


class File(Runtime):
    """A file, and those that it cannot do without."""

    def __init__(self, file: Path) -> None:
        self.file = file
        files = [file, *self.others()]
        hashes = [file_hash(one) for one in files]
        self.sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        self.bytes = sum(one.stat().st_size for one in files)

    def others(self) -> list[Path]:
        """Return the files that belong to it."""
        return []

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was opened behind: another process opens it again."""
        return {name: value for name, value in vars(self).items() if name in ("file", "sha256", "bytes")}


class Onnx(File):
    """An ONNX file, run by onnxruntime on as many threads as torch uses; they do not wait in busy loops."""

    kind = "ONNX"

    def others(self) -> list[Path]:
        """Return the files that hold its weights."""
        return external_files(self.file)

    @property
    def source(self) -> str | bytes:
        """What onnxruntime opens."""
        return str(self.file)

    @cached_property
    def sessions(self) -> dict[int, Any]:
        """The opened file by number of threads."""
        return {}

    def session(self) -> Any:
        """Return the file opened for the number of threads in use."""
        threads = torch.get_num_threads()
        if threads not in self.sessions:
            library = onnxruntime()
            options = library.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = threads, 4
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.sessions[threads] = library.InferenceSession(self.source, options, ["CPUExecutionProvider"])
        return self.sessions[threads]

    @cached_property
    def entry(self) -> Any:
        """Its one input. InputError where it has others, or takes no floating-point pixels."""
        entries = self.session().get_inputs()
        if len(entries) != 1:
            names = ", ".join(entry.name for entry in entries)
            raise InputError(f"{self.file}: has {len(entries)} inputs ({names}), expected one, a batch of images")
        if entries[0].type not in FLOATS:
            taken = f"takes {entries[0].type} under {entries[0].name!r}"
            raise InputError(f"{self.file}: {taken}, expected floating-point pixels in [0, 1]; scale inside the file")
        return entries[0]

    def answer(self, x: Tensor) -> Any:
        """Run it, in batches of a size that it accepts."""
        size = self.entry.shape[0] if self.entry.shape and isinstance(self.entry.shape[0], int) else None
        return in_batches(self._run, x.to(FLOATS[self.entry.type]), size)

    def _run(self, x: Tensor) -> Tensor:
        names = [out.name for out in self.session().get_outputs()]
        found = self.session().run(names, {self.entry.name: x.contiguous().numpy()})
        return logits_alone({name: torch.from_numpy(one) for name, one in zip(names, found, strict=True)})


class OnnxBytes(Onnx):
    """The bytes of an ONNX file that holds its weights itself."""

    def __init__(self, content: bytes) -> None:
        self.content, self.file = content, Path("the ONNX copy")
        self.sha256, self.bytes = hashlib.sha256(content).hexdigest(), len(content)

    @property
    def source(self) -> bytes:
        """See `Onnx`."""
        return self.content

    def __getstate__(self) -> dict[str, Any]:
        """See `File`."""
        return {**super().__getstate__(), "content": self.content}


class Program(File):
    """A program of torch, opened from an archive that was looked through."""

    @cached_property
    def program(self) -> Callable[[Tensor], Any]:
        """The opened file."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.open()

    @abstractmethod
    def open(self) -> Callable[[Tensor], Any]:
        """Open the file."""

    def answer(self, x: Tensor) -> Any:
        """Run it on a copy, since it may change its input."""
        return self.program(x.clone())


class Script(Program):
    """A TorchScript file, run by torch's interpreter in eval mode."""

    kind = "TorchScript"

    def open(self) -> Callable[[Tensor], Any]:
        """Open the file."""
        script: Callable[[Tensor], Any] = torch.jit.load(script_archive(self.file), map_location="cpu").eval()
        return script


class Exported(Program):
    """A program that torch.export has written."""

    kind = "torch.export"

    def open(self) -> Callable[[Tensor], Any]:
        """Open the file; it runs in batches of the size that it was exported for, unless that is left open."""
        found = torch.export.load(exported_archive(self.file))
        names = found.graph_signature.user_inputs
        entries = [node for node in found.graph.nodes if node.op == "placeholder" and node.name in names]
        if len(entries) != 1:
            raise InputError(f"{self.file}: has {len(entries)} inputs, expected one, a batch of images")
        size = entries[0].meta["val"].shape[0]
        run: Callable[[Tensor], Any] = found.module()
        return lambda x: in_batches(lambda part: logits_alone(run(part)), x, size if isinstance(size, int) else None)


def in_batches(run: Callable[[Tensor], Tensor], x: Tensor, size: int | None) -> Tensor:
    """Run on `x` (n, ...) in batches of the one size that is accepted, the last one filled up; None: any size.

    >>> in_batches(lambda part: part * len(part), torch.ones(3), 2).tolist()
    [2.0, 2.0, 2.0]
    """
    if size is None:
        return run(x)
    short = -len(x) % size
    filled = torch.cat([x, x[-1:].expand(short, *x.shape[1:])]) if short else x
    return torch.cat([run(part) for part in filled.split(size)])[: len(x)]


HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Half(Runtime):
    """A copy of a network in half precision, its weights and all that it computes."""

    def __init__(self, net: nn.Module, kind: str) -> None:
        self.kind = kind
        self.type = HALVES[kind]
        self.net = copy.deepcopy(net).cpu().eval().requires_grad_(False).to(self.type)
        self.sha256 = weights_hash(self.net)
        self.bytes = sum(t.numel() * t.element_size() for t in self.net.state_dict().values())

    def answer(self, x: Tensor) -> Any:
        """Run it."""
        return self.net(x.to(self.type, copy=True))


FORMATS: dict[str, type[File]] = {".onnx": Onnx, ".pt2": Exported, ".pt": Script, ".ts": Script, ".torchscript": Script}
"""Ending of a file that ships -> what runs it."""


def open_runtime(file: Path) -> File:
    """Open a file that ships by its ending. MissingData where there is none, InputError where it cannot be opened."""
    if not file.is_file():
        raise MissingData(f"{file}: no such file; expected what ships, an .onnx, a TorchScript .pt or a .pt2")
    if file.suffix not in FORMATS:
        raise InputError(f"{file}: expected what ships, a file ending in {', '.join(FORMATS)}")
    opened = FORMATS[file.suffix]
    try:
        found = opened(file)
        _ = found.entry if isinstance(found, Onnx) else found.program if isinstance(found, Program) else None
        return found
    except InputError:
        raise
    except Exception as error:
        lines = [*filter(None, map(str.strip, str(error).splitlines())), "no reason given"]
        reason = f"{type(error).__name__}: {lines[0][:200]}"
        raise InputError(f"{file}: cannot be opened, expected a whole {opened.kind} file ({reason})") from error


def onnxruntime() -> Any:
    """Import onnxruntime. InputError where it is not installed."""
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise InputError("ONNX files need onnx and onnxruntime: pip install 'robustprune[onnx]'") from error
