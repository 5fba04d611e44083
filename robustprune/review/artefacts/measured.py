"""What a review does with what ships, beside what it does with every candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from robustprune.data import Split
from robustprune.evidence import trust
from robustprune.evidence.registry import entered, holds, skipped
from robustprune.models.artefact import Artefact
from robustprune.results.records import Check
from robustprune.review.artefacts.belongs import check_belongs
from robustprune.review.artefacts.beside import Beside
from robustprune.review.artefacts.raced import raced
from robustprune.review.extras import Effort
from robustprune.review.parity import Parity, compared, parity
from robustprune.review.request import Request
from robustprune.run.bench import Bench
from robustprune.run.case import Finished

CLIMB = (7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
"""Validity checks that climb gradients themselves, or compare with attacks that do."""

BLIND = (
    "the file gives no gradients and no float twin was given: queries and images made on the parent were tried alone, "
    "so nothing is known of who has the file; --twin SPEC[@FILE] lends it the gradients of what it was made from"
)


def agreement(request: Request, sample: Split) -> Parity | None:
    """Compare what ships with the network that it was made from; InputError where it is not its own.

    That is the twin of a candidate that ships, or the candidate for a file that ships beside it.
    """
    if request.candidate.ships is None:
        return parity(request.candidate.load(), request.shipped, sample.x) if request.shipped else None
    net = request.candidate.load()
    assert isinstance(net, Artefact)
    check_belongs(net, sample, request.candidate.name)
    return None if net.twin is None else compared(net.twin, net.runtime, request.candidate.name, sample.x)


def without_gradients(candidate: Finished) -> Finished:
    """Say of what ships without a twin that gradients are what is missing, once and not check by check."""
    net = candidate.network.model
    if not isinstance(net, Artefact) or net.twin is not None:
        return candidate
    checks = [_without(check) for check in candidate.result.checks]
    result = dataclasses.replace(candidate.result, checks=checks, trust=trust(checks))
    return dataclasses.replace(candidate, result=result)


def _without(check: Check) -> Check:
    if check.number == 8:
        return entered(8, holds(False, BLIND, blocking=True))
    return entered(check.number, skipped("needs gradients")) if check.number in CLIMB else check


def set_beside(candidate: Finished, twins: Sequence[Finished], bench: Bench, effort: Effort) -> Beside | None:
    """Return what stands beside a candidate that ships: its twin, and the times of both; None for any other."""
    if not isinstance(candidate.network.model, Artefact):
        return None
    times = raced(candidate.network, bench, bool(effort.compiles))
    return Beside(twin=twins[0].result if twins else None, speeds=times)
