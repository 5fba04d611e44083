"""May the candidate take the parent's place? Measures both on the same samples and puts the review together.

A review is a suite of two cases, the parent and a finished artefact, run by the same code as every other
suite: the same attacks, made anew on each network, the same validity checks, the same judgement. What the
suite does not measure comes from here: what changed between the two networks, attacks transferred from the
parent, and whether the file that ships computes the same.

Finished measurements are kept in the store under each network's fingerprint (its weights, its structure and
its code), so an interrupted review goes on where it was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from robustprune import runner
from robustprune.attacks import Attack, Transfer, evaluate
from robustprune.attacks.evidence import Tier, trust
from robustprune.data import Data, Split
from robustprune.errors import InputError
from robustprune.models import save_weights
from robustprune.policy import Policy, judge
from robustprune.results import CaseResult, Outcomes, outcomes_from, outcomes_record
from robustprune.review.anatomy import Changes, anatomy, compare
from robustprune.review.exhibits import curves, gallery
from robustprune.review.parity import Parity, parity, parity_check
from robustprune.review.record import Exhibits, Facts, Review
from robustprune.review.specs import Given
from robustprune.runner import chains, evaluation_sample, run_case
from robustprune.store import Store, code_version
from robustprune.subject import Bench, Listener, layer_similarity, listening
from robustprune.suite import Case, Model, Suite

TRANSFER_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be reviewed, on what, how hard, and by which policy."""

    candidate: Given
    parent: Given
    data: Data
    attacks: Sequence[Attack]
    policy: Policy = field(default_factory=Policy)
    samples: int | None = None
    seed: int = 0
    tier: Tier = "quick"
    device: str = "cpu"
    shipped: Path | None = None
    batches: tuple[int, ...] = (1, 128)
    timing_seconds: float = 1.0
    command: str = ""


def review(request: Request, store: Store, listener: Listener) -> Review:
    """Measure what is missing and judge. InputError for models that do not fit each other or the data."""
    bench = open_bench(request, store)
    parent_model, candidate_model = (_model(one, store) for one in _apart(request.parent, request.candidate))
    parent_case = Case(model=parent_model)
    candidate_case = Case(model=candidate_model, parent=parent_model)
    nets = {
        "parent": request.parent.load().to(bench.device),
        "candidate": request.candidate.load().to(bench.device),
    }
    for side, net in nets.items():
        check_fits(net, bench, side)
    sample = evaluation_sample(bench)
    shipped = parity(nets["candidate"], request.shipped, sample.x) if request.shipped else None
    parent = measure_on_all_threads(parent_case, bench, listener)
    candidate = measure_on_all_threads(candidate_case, bench, listener)
    changes = changed(nets["parent"], nets["candidate"], bench)
    candidate = with_structure(candidate, parent, nets["parent"], nets["candidate"], bench)
    keys = {"parent": request.parent.fingerprint, "candidate": request.candidate.fingerprint}
    return compose(
        candidate=with_parity(candidate, shipped),
        parent=parent,
        policy=request.policy,
        changes=changes,
        facts=_facts(request, sample),
        transfers=transfers(nets, keys, sample, bench),
        shipped=shipped,
        exhibits=exhibits(candidate, parent, nets, keys, sample, bench),
    )


def exhibits(
    candidate: CaseResult,
    parent: CaseResult,
    nets: dict[str, nn.Module],
    keys: dict[str, str],
    sample: Split,
    bench: Bench,
) -> Exhibits:
    """Make what the pictures show beside the outcomes."""
    shown = gallery(candidate, parent, nets["candidate"], sample, bench)
    return Exhibits(gallery=shown, curves=curves(nets, keys, sample, bench))


def compose(
    *,
    candidate: CaseResult,
    parent: CaseResult,
    policy: Policy,
    changes: Changes,
    facts: Facts,
    transfers: Sequence[Outcomes] = (),
    shipped: Parity | None = None,
    exhibits: Exhibits | None = None,
) -> Review:
    """Judge two results and put everything about them together."""
    return Review(
        candidate=candidate,
        parent=parent,
        policy=policy,
        verdict=judge(candidate, parent, policy),
        changes=changes,
        facts=facts,
        transfers=tuple(transfers),
        parity=shipped,
        exhibits=exhibits or Exhibits(),
    )


def open_bench(request: Request, store: Store) -> Bench:
    """Draw the evaluation sample with the review's seed and open a bench on it."""
    data, n = request.data, request.samples
    if n is not None and n < len(data.test):
        data = dataclasses.replace(data, test=data.test.balanced(n, request.seed))
    suite = Suite(
        name="review",
        data=lambda: data,
        cases=(),
        attacks=tuple(request.attacks),
        policy=request.policy,
        tier=request.tier,
        batches=request.batches,
        timing_seconds=request.timing_seconds,
    )
    return runner.open_bench(suite, store, request.device)


def check_fits(net: nn.Module, bench: Bench, side: str) -> None:
    """Run one image through a network. InputError where it fails or does not give one logit a class."""
    import torch

    try:
        with torch.no_grad():
            shape = tuple(net(bench.example()).shape)
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the {side} does not run on images of shape {tuple(bench.example().shape)}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    if len(shape) != 2 or shape[1] < len(bench.data.classes):
        raise InputError(
            f"the {side} gives {shape} for one image, the data {bench.data.name} have "
            f"{len(bench.data.classes)} classes; expected (1, {len(bench.data.classes)})"
        )


def changed(parent: nn.Module, candidate: nn.Module, bench: Bench) -> Changes:
    """Say what changed in the structure."""
    return compare(anatomy(parent, bench.example()), anatomy(candidate, bench.example()))


def with_structure(
    candidate: CaseResult, parent: CaseResult, old: nn.Module, new: nn.Module, bench: Bench
) -> CaseResult:
    """Fill in what an artefact does not know of itself: which of the parent's blocks went, how similar it is.

    Similarity is given only where every block that can still be removed has its namesake in the parent.
    """
    blocks = {name: sum(p.numel() for p in module.parameters()) for name, module in new.named_modules()}
    removed = [name for name in parent.blocks if not blocks.get(name)]
    if len(removed) == len(parent.blocks):
        return candidate
    names = {name for name, _ in old.named_modules()}
    own = anatomy(new, bench.example()).blocks
    similarity = layer_similarity(old, new, bench) if own and names.issuperset(own) else {}
    return dataclasses.replace(candidate, removed=removed, similarity=similarity)


def with_parity(candidate: CaseResult, shipped: Parity | None) -> CaseResult:
    """Enter validity check 30 among the candidate's."""
    check = parity_check(shipped)
    checks = sorted([*(one for one in candidate.checks if one.number != check.number), check], key=lambda c: c.number)
    return dataclasses.replace(candidate, checks=checks, trust=trust(checks))


def transfers(nets: dict[str, nn.Module], keys: dict[str, str], sample: Split, bench: Bench) -> tuple[Outcomes, ...]:
    """Attack the candidate with images made on the parent, once for every threat model of the suite."""
    found: list[Outcomes] = []
    for chain in chains(bench.suite.attacks):
        attack = Transfer(eps=chain[0].eps, norm=chain[0].norm, steps=TRANSFER_STEPS)
        settings = {
            **keys,
            "sample": sample.hash,
            "attack": attack,
            "code": code_version("attacks", "models", "data"),
            "device": bench.device.type,
        }

        def make(key: str, attack: Attack = attack) -> dict[str, Any]:
            x, y = sample.x.to(bench.device), sample.y.to(bench.device)
            done = evaluate(nets["candidate"], x, y, [attack], device=bench.device, parent=nets["parent"])
            return outcomes_record(done.outcomes[0])

        found.append(outcomes_from(bench.store.once("transfer", settings, make)))
    return tuple(found)


def measure_on_all_threads(case: Case, bench: Bench, listener: Listener) -> CaseResult:
    """Measure one case on all threads; the machine is ours, since a review has two cases only."""
    result = run_case(case, listening(bench, case, listener))
    listener.finished(case.id)
    return result


def _model(named: tuple[str, Given], store: Store) -> Model:
    """A model of a suite. Where the factory brings the weights itself they are kept as a file first."""
    name, given = named
    weights = given.weights
    if weights is None:
        weights = store.path("given", given.fingerprint, ".safetensors").absolute()
        save_weights(given.load(), weights)
    return Model(name=name, build=given.build, weights=weights)


def _apart(parent: Given, candidate: Given) -> tuple[tuple[str, Given], tuple[str, Given]]:
    """Names for the two that differ."""
    same = parent.name == candidate.name
    return (parent.name, parent), (f"{candidate.name} (candidate)" if same else candidate.name, candidate)


def _facts(request: Request, sample: Split) -> Facts:
    """Where the review comes from."""
    (parent, _), (candidate, _) = _apart(request.parent, request.candidate)
    data = request.data
    return Facts(
        candidate=_given(candidate, request.candidate),
        parent=_given(parent, request.parent),
        data={"name": data.name, "source": data.source, "seed": request.seed},
        tier=request.tier,
        command=request.command,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        samples=sample.hashes(),
    )


def _given(name: str, given: Given) -> dict[str, Any]:
    return {
        "name": name,
        "spec": given.spec,
        "weights": given.weights.name if given.weights else None,
        "sha256": given.sha256,
        "fingerprint": given.fingerprint,
        "described": dict(given.described),
    }
