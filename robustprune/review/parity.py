"""Does what ships compute what was reviewed? Validity check 30.

The network under review is a PyTorch module, since attacks need its gradients. What goes into service is
often another file: ONNX, TorchScript, lower precision. It is compared on the evaluation samples: the same
prediction on at least 99.9 % of them. Where it is not, the verdict is about another network than the one
that ships, and the check blocks.

Where the file itself is the candidate (artefacts/) it was attacked first-hand, and the check holds by that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.results.checks import CATALOGUE
from robustprune.results.records import Check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustprune.models.runtimes import Runtime

AGREE = 0.999
"""Smallest share of samples on which what ships must predict as the candidate does (our threshold)."""

NUMBER = 30
NAME = CATALOGUE[NUMBER].name


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How a file agrees with a network: on `agree` of `n` predictions; `gap` between two logits."""

    file: str
    sha256: str
    kind: str
    n: int
    agree: int
    gap: float | None
    """None where a logit is not a finite number."""

    @property
    def holds(self) -> bool:
        """Whether they agree often enough."""
        return self.agree >= AGREE * self.n

    def __str__(self) -> str:
        """Write the finding as one line for people."""
        share = math.floor(10000 * self.agree / self.n) / 100
        gap = "not finite" if self.gap is None else f"{self.gap:.2g}"
        agreement = f"agrees on {self.agree} of {self.n} ({share:g} %)"
        return f"{self.kind} {self.file} {agreement}, largest logit gap {gap}"


def parity(net: nn.Module, file: Path, x: Tensor) -> Parity:
    """Compare a shipped file with the network on images `x` (n, C, H, W) in [0,1].

    Raises InputError where the file cannot be run, or gives something else than one row of logits a sample.
    """
    from robustprune.models.runtimes import open_runtime

    return compared(net, open_runtime(file), file.name, x)


def compared(net: nn.Module, runtime: Runtime, name: str, x: Tensor, batch_size: int = 128) -> Parity:
    """Compare what ships, by its name, with a network on images `x`, as `parity` does."""
    import torch

    from robustprune.models import evaluating
    from robustprune.models.lending import shown

    theirs = torch.cat([runtime(part.cpu()) for part in torch.split(x, batch_size)])
    with evaluating(net), torch.no_grad():
        ours = torch.cat([net(shown(net, part)).float().cpu() for part in torch.split(x, batch_size)])
    if theirs.shape != ours.shape:
        raise InputError(f"{name}: gives shape {tuple(theirs.shape)}, the candidate gives {tuple(ours.shape)}")
    gap = float((theirs - ours).abs().max())
    same = (theirs.argmax(1) == ours.argmax(1)) & torch.isfinite(theirs).all(1)
    return Parity(
        file=name,
        sha256=runtime.sha256,
        kind=runtime.kind,
        n=len(x),
        agree=int(same.sum()),
        gap=gap if math.isfinite(gap) else None,
    )


def parity_check(found: Parity | None) -> Check:
    """Validity check 30; without a shipped file it is skipped and says so, never passed.

    >>> parity_check(None).status
    'skipped'
    """
    if found is None:
        evidence = "unmeasured: no shipped file was given, so the verdict is about the PyTorch network alone"
        return Check(number=NUMBER, name=NAME, status="skipped", evidence=evidence)
    return Check(
        number=NUMBER,
        name=NAME,
        status="pass" if found.holds else "fail",
        evidence=f"{found}; at least {AGREE:.1%} asked for",
        blocking=True,
    )


def itself_check(found: Parity | None) -> Check:
    """Validity check 30 where the file itself was reviewed; `found` is how it agrees with its float twin.

    >>> itself_check(None).status
    'pass'
    """
    beside = f"beside its float twin, which only guides: {found}" if found else "no float twin was given"
    evidence = f"what ships was itself attacked and judged; {beside}"
    return Check(number=NUMBER, name=NAME, status="pass", evidence=evidence, blocking=True)
