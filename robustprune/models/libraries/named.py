"""Networks by the name people know them by: `torchvision:resnet50`, `timm:convnext_nano`, `hf:FOLDER_OR_NAME`.

`named(...)` gives what builds one, as plain data: it can be pickled, and keys know it by name, arguments and the
version of its library. Nothing is imported or looked up before the network is built. Nothing is downloaded, and no
weights are random, unless that is asked for.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.checkpoints import outline
from robustprune.models.libraries.heads import followed, outlined
from robustprune.models.libraries.hf_nets import HF
from robustprune.models.libraries.library import Library, LibraryNetwork, per_channel
from robustprune.models.libraries.timm_nets import TIMM
from robustprune.models.libraries.torchvision_nets import TORCHVISION

LIBRARIES: Mapping[str, Library] = {"torchvision": TORCHVISION, "timm": TIMM, "hf": HF}
"""What stands before the colon -> the library."""

LONGEST = 300
"""Characters of a name."""

ARGUMENTS = re.compile(r"(?P<name>[^,]+)(?P<pairs>(?:,[A-Za-z_]\w*=[^,=]+)+)")
"""A name, and arguments behind it."""

Start = Literal["own", "download", "random"]


@dataclass(frozen=True, kw_only=True)
class Named:
    """Builds a library's network, wrapped so that it takes images in [0,1]; see `named`.

    `weights` are the library's own, found on this machine, or downloaded, or random; random ones are drawn with `seed`
    where one is given. Weights of a file are loaded later, over random ones: `for_file`.
    """

    library: str
    name: str
    weights: Start = "own"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    seed: int | None = None

    @property
    def spec(self) -> str:
        """Library and name."""
        return f"{self.library}:{self.name}"

    @property
    def title(self) -> str:
        """A short name, without the folders around it."""
        return self.name.replace("\\", "/").rstrip("/").rpartition("/")[2] or self.library

    @property
    def content_key(self) -> Mapping[str, Any]:
        """What names it in keys: its fields, and the version of its library."""
        return {**dataclasses.asdict(self), "version": self._library.version}

    @property
    def _library(self) -> Library:
        return LIBRARIES[self.library]

    def __call__(self) -> nn.Module:
        """Build it. InputError where the library does not have it, or its weights are not here."""
        if self.weights == "download":
            return self.fetched()()
        with self._one_line():
            card = self._library.card(self.name, self.arguments)
            if not card.size:
                with self._drawn():
                    return self._net()
            channels = card.size[0]
            mean = self.mean or per_channel(card.mean, channels, self.spec)
            std = self.std or per_channel(card.std, channels, self.spec)
            with self._drawn():
                net = self._net()
        return LibraryNetwork(net, dataclasses.replace(card, mean=mean, std=std))

    def fetched(self) -> Named:
        """Download the library's weights; return what builds the network with them, offline from then on."""
        asked = dataclasses.replace(self, weights="download")
        with asked._one_line():
            self._library.fetch(self.name)
        return dataclasses.replace(self, weights="own")

    def for_file(self, file: Path) -> Named:
        """Return what builds the network for a weight file: as many classes and channels as that holds."""
        held = outline(file)
        with self._one_line():
            card, library = self._library.card(self.name, self.arguments), self._library
            counts = {library.classes: card.classes, **({library.channels: card.size[0]} if card.size else {})}
            counts.pop("", None)
            found = followed(self._outline, held, counts)
        return dataclasses.replace(self, weights="random", arguments={**self.arguments, **found})

    def _net(self) -> nn.Module:
        if self.weights == "random":
            return self._library.bare(self.name, self.arguments)
        return self._library.own(self.name, self.arguments)

    def _outline(self, counts: Mapping[str, int]) -> Mapping[str, Tensor]:
        """Names and shapes of the weights for so many classes and channels; a network that needs numbers gets some."""
        arguments = {**self.arguments, **counts}
        try:
            with torch.device("meta"):
                return outlined(self._library.bare(self.name, arguments))
        except (NotImplementedError, RuntimeError):
            with torch.random.fork_rng(devices=[]):
                return outlined(self._library.bare(self.name, arguments))

    @contextlib.contextmanager
    def _drawn(self) -> Iterator[None]:
        """Draw random weights with the seed, where there is one."""
        with contextlib.ExitStack() as stack:
            if self.seed is not None:
                stack.enter_context(torch.random.fork_rng(devices=[]))
                torch.manual_seed(self.seed)
            yield

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        """Turn what a library raises, often many lines, into an InputError of one."""
        self._library.check(self.spec)
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            doing = "downloaded" if self.weights == "download" else "built"
            raise InputError(f"{self.spec}: cannot be {doing}: {type(error).__name__}: {reason}") from error


def named(
    text: str,
    *,
    weights: Start = "own",
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    **arguments: Any,
) -> Named:
    """Return what builds a network that a library knows: `torchvision:NAME`, `timm:NAME`, `hf:FOLDER_OR_NAME`.

    `arguments` go to the library's own builder: `num_classes=10` for timm and torchvision, fields of the configuration
    (`num_labels=10`) for hf; where a name is typed they follow it, `timm:vit_tiny_patch16_224,img_size=32`. In
    `Model(build=named("timm:resnet18"), weights="w.safetensors")` the classes and channels are those of the file.
    `mean` and `std` replace the library's normalisation. `weights` "random" is for training from scratch.

    >>> named("timm:resnet18", num_classes=10).title
    'resnet18'
    >>> named("timm:vit_tiny_patch16_224,img_size=32").arguments
    {'img_size': 32}
    """
    library, colon, rest = text.partition(":")
    found = ARGUMENTS.fullmatch(rest)
    name = found["name"] if found else rest
    for pair in found["pairs"].split(",")[1:] if found else ():
        key, _, value = pair.partition("=")
        arguments.setdefault(key, _value(value))
    if library not in LIBRARIES or not colon:
        raise InputError(f"network {text[:80]!r}: expected {', '.join(f'{one}:NAME' for one in LIBRARIES)}")
    if not name or len(name) > LONGEST or not name.isprintable():
        raise InputError(f"network {text[:80]!r}: expected a name after {library}:, of printable characters")
    return Named(library=library, name=name, weights=weights, arguments=arguments, mean=mean, std=std)


def _value(text: str) -> Any:
    """Read a number, True, False or None; anything else stays a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def is_named(text: str) -> bool:
    """Whether a text names a network of a library.

    >>> is_named("timm:resnet18"), is_named("nets.py:small"), is_named("resnet4b")
    (True, False, False)
    """
    return text.partition(":")[0] in LIBRARIES and ":" in text
