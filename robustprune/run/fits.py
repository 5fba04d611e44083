"""Does this network fit these data? One rule, for suites and reviews; and what fails in a user's code, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models import LibraryNetwork, evaluating
from robustprune.models.lending import is_text, shown


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn whatever fails inside, which is a user's code, into an InputError that begins with `what`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{what}: {type(error).__name__}: {reason}") from error


def check_fits(net: nn.Module, example: Tensor, classes: int, who: str) -> None:
    """Run one sample, `example` (1, C, H, W) or (1, T), through a network, which `who` names in the messages.

    Raises InputError where it fails, or gives something else than one row with a finite logit for every class. More
    logits than classes are accepted: the data may hold only some of what the network knows.
    """
    many, one = ("texts", "text") if is_text(example) else ("images", "image")
    what = f"{who} does not run on {many} of shape {tuple(example.shape)}"
    try:
        with one_line(what), evaluating(net), torch.no_grad():
            logits = net(shown(net, example))
    except InputError as error:
        raise InputError(f"{error}{_other_size(net, example)}") from error
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1 or logits.shape[1] < classes:
        raise InputError(f"{who} gives {shape} for one {one}, the data have {classes} classes; expected (1, {classes})")
    if not logits.is_floating_point() or logits.is_sparse or not bool(torch.isfinite(logits).all()):
        raise InputError(f"{who} gives {logits.dtype} logits, {_some(logits)}; expected finite floating-point numbers")


def _other_size(net: nn.Module, example: Tensor) -> str:
    """Say how to ask for a library's network of another image size; nothing where that cannot be what is wrong."""
    if not isinstance(net, LibraryNetwork) or example.ndim != 4 or tuple(net.size[1:]) == tuple(example.shape[2:]):
        return ""
    side = f"{example.shape[2]}"
    return (
        f"; it is made for {'x'.join(map(str, net.size[1:]))}: type NAME,img_size={side} (timm) or ,image_size={side}"
    )


def check_labels(net: nn.Module, classes: Sequence[str], who: str) -> None:
    """Refuse data whose classes are all known to a library's network, by other numbers than the data give them.

    Names count without case, up to the first comma: ImageNet's hold several words for a thing.
    """
    labels = [_word(name) for name in getattr(net, "labels", ())]
    names = [_word(name) for name in classes]
    if not set(names) <= set(labels):
        return
    wrong = next((place for place, name in enumerate(names) if labels[place] != name), None)
    if wrong is not None:
        there = labels.index(names[wrong])
        raise InputError(
            f"{who}: the data call class {wrong} {classes[wrong]!r}, which is logit {there} of the network; "
            "expected labels in the network's order"
        )


def _word(name: str) -> str:
    return name.partition(",")[0].strip().lower()


def _some(logits: Tensor) -> str:
    """Write the first numbers of a row."""
    return ", ".join(str(value) for value in logits.detach().to_dense()[0, :3].tolist()) + ", ..."
