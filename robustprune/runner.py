"""The whole flow of one case, and of a suite: what is missing, in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from robustprune.attacks import Attack, evaluate
from robustprune.attacks.evidence import EvidenceContext, gather, trust
from robustprune.cost import measure
from robustprune.data import Split
from robustprune.environment import environment, pick_device
from robustprune.models import find_blocks
from robustprune.pool import Order, default_workers, prepare_all
from robustprune.results import CaseResult, Check, Cost, Outcomes, cost_from, outcomes_from, outcomes_record
from robustprune.store import NotMeasured, Store, code_version
from robustprune.subject import Bench, Listener, Subject, case_subject, listening, parent_subject, scoring_sample
from robustprune.suite import Case, Suite


def open_bench(suite: Suite, store: Store, device: str) -> Bench:
    """Load the data of a suite and choose the device."""
    data, place = suite.data(), pick_device(device)
    surroundings = {**environment(place), "data": data.source}
    return Bench(suite=suite, data=data, store=store, device=place, surroundings=surroundings)


def run_suite(
    suite: Suite, store: Store, listener: Listener, *, device: str = "cpu", workers: int | None = None
) -> list[CaseResult]:
    """Measure what is missing of a suite and return every case, parents first.

    Finished measurements are found in `store`, so a second run measures nothing. Networks are made and attacked by
    `workers` processes; costs are measured afterwards, when the machine is quiet. A suite that does not come from a
    file cannot be sent to other processes and runs in this one.
    """
    bench = open_bench(suite, store, device)
    workers = workers or default_workers(bench.device.type)
    if suite.file is not None and workers > 1:
        order = Order(file=suite.file, quick=suite.quick, store=store, device=device)
        prepare_all(order, [case for case in suite.cases if not is_prepared(case, bench)], workers, listener)
    results = []
    for case in suite.cases:
        here = listening(bench, case, listener)
        with one_thread(bench.device):
            prepare_case(case, here)
        results.append(run_case(case, here))
        listener.finished(case.id)
    return results


def run_case(case: Case, bench: Bench) -> CaseResult:
    """Measure one case, or find it measured: prune and fine-tune, attack, check the attack, measure the cost."""
    subject, parent = case_subject(case, bench), parent_subject(case.parent or case.model, bench)
    sample = evaluation_sample(bench)
    clean, outcomes = attacked(subject, parent, sample, bench)
    checks = examined(case, subject, parent, sample, bench)
    return CaseResult(
        suite=bench.suite.name,
        case=case.id,
        model=case.model.name,
        strategy=case.kind,
        recipe=case.recipe.name if case.recipe else "",
        seed=case.seed,
        parent=case.parent_case.id if case.parent_case else None,
        blocks=_blocks(parent, bench),
        removed=list(subject.removed),
        scores={name: dict(scores) for name, scores in subject.scores.items()},
        similarity=dict(subject.similarity),
        cost=priced(subject, parent, bench),
        classes=list(bench.data.classes),
        labels=sample.y.tolist(),
        clean=clean,
        outcomes=outcomes,
        checks=checks,
        trust=trust(checks),
        sample_hash=sample.hash,
        weights_hash=subject.weights,
        environment=dict(bench.surroundings),
    )


def prepare_case(case: Case, bench: Bench) -> None:
    """Do all of a case but its cost: what worker processes do, and what does not depend on a quiet machine."""
    subject, parent = case_subject(case, bench), parent_subject(case.parent or case.model, bench)
    examined(case, subject, parent, evaluation_sample(bench), bench)


def is_prepared(case: Case, bench: Bench) -> bool:
    """True where `prepare_case` would find everything in the store."""
    readonly = dataclasses.replace(bench, store=dataclasses.replace(bench.store, readonly=True))
    try:
        prepare_case(case, readonly)
    except NotMeasured:
        return False
    return True


def evaluation_sample(bench: Bench) -> Split:
    """The test images that are attacked: all, or a class-balanced share of them."""
    test, n = bench.data.test, bench.suite.samples
    return test if n is None or n >= len(test) else test.balanced(n, seed=0)


def attacked(subject: Subject, parent: Subject, sample: Split, bench: Bench) -> tuple[list[bool], list[Outcomes]]:
    """Attack a network with every attack of the suite; the attacks of one threat model are one measurement."""
    clean: list[bool] = []
    outcomes: list[Outcomes] = []
    for chain in chains(bench.suite.attacks):
        settings = {**_on(subject, parent, bench), "sample": sample.hash, "attacks": chain}

        def make(key: str, chain: Sequence[Attack] = chain) -> dict[str, Any]:
            x, y = sample.x.to(bench.device), sample.y.to(bench.device)
            tick = partial(bench.tick, f"attack {chain[0].threat}")
            found = evaluate(
                subject.model,
                x,
                y,
                chain,
                device=bench.device,
                parent=parent.model,
                tick=tick,
                batch_size=bench.suite.attack_batch,
            )
            return {"clean": found.clean, "outcomes": [outcomes_record(outcome) for outcome in found.outcomes]}

        record = bench.store.once("attacked", settings, make)
        clean = record["clean"]
        outcomes += [outcomes_from(outcome) for outcome in record["outcomes"]]
    return clean, outcomes


def examined(case: Case, subject: Subject, parent: Subject, sample: Split, bench: Bench) -> list[Check]:
    """Gather the evidence that the attacks were strong enough to be believed, for each threat model."""
    clean, outcomes = attacked(subject, parent, sample, bench)
    _, parent_outcomes = attacked(parent, parent, sample, bench)
    checks: list[Check] = []
    seeds = len({other.seed for other in bench.suite.cases if other.kind == case.kind})
    used = _used(case, bench)
    for chain in chains(bench.suite.attacks):
        settings = {
            **_on(subject, parent, bench),
            "sample": sample.hash,
            "attacks": chain,
            "tier": bench.suite.tier,
            "seeds": seeds,
            "margin": bench.suite.policy.max_robust_drop,
            "used": {use: split.hash for use, split in used.items()},
        }

        def make(key: str, chain: Sequence[Attack] = chain) -> dict[str, Any]:
            bench.tick(f"check {chain[0].threat}", 0, 1)
            ctx = EvidenceContext(
                model=subject.model,
                x=sample.x.to(bench.device),
                y=sample.y.to(bench.device),
                clean=clean,
                outcomes=_of(chain, outcomes),
                attacks=chain,
                parent=None if case.parent_case is None else parent.model,
                parent_robust=_worst(_of(chain, parent_outcomes)),
                margin=bench.suite.policy.max_robust_drop,
                seeds=seeds if case.strategy is not None else None,
                classes=bench.data.classes,
                weights_before=subject.weights,
                sample_hashes=sample.hashes(),
                used_hashes={use: split.hashes() for use, split in used.items()},
                provenance=_provenance(subject, sample, bench),
            )
            return {"checks": [dataclasses.asdict(check) for check in gather(ctx, bench.suite.tier)]}

        record = bench.store.once("evidence", settings, make)
        checks += [Check(**check) for check in record["checks"]]
    return checks


def chains(attacks: Sequence[Attack]) -> list[tuple[Attack, ...]]:
    """Group attacks by threat model, in the order in which the threat models first appear."""
    threats = dict.fromkeys(attack.threat for attack in attacks)
    return [tuple(attack for attack in attacks if attack.threat == threat) for threat in threats]


def priced(subject: Subject, parent: Subject, bench: Bench) -> Cost:
    """What the network costs beside its parent. Values of weights do not matter: networks of one shape share a cost."""
    settings = {
        "factories": (subject.factory, parent.factory),
        "removed": subject.removed,
        "suite": (bench.suite.batches, bench.suite.timing_seconds),
        "shape": bench.example().shape,
        "threads": bench.suite.timing_threads or torch.get_num_threads(),
        "code": code_version("cost", "models"),
        "machine": bench.surroundings["processor"],
    }

    def make(key: str) -> dict[str, Any]:
        bench.tick("time", 0, 1)
        beside = parent.model if subject.removed or subject.factory != parent.factory else None
        cost = measure(
            subject.model,
            bench.example(),
            parent=beside,
            batches=bench.suite.batches,
            seconds=bench.suite.timing_seconds,
            threads=bench.suite.timing_threads,
        )
        return dataclasses.asdict(cost)

    return cost_from(bench.store.once("cost", settings, make))


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Compute on one thread, as worker processes do, so that outcomes do not depend on the number of workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _on(subject: Subject, parent: Subject, bench: Bench) -> dict[str, Any]:
    """What every measurement by attack depends on."""
    return {
        "subject": subject.identity,
        "parent": parent.identity,
        "code": code_version("attacks", "models", "data"),
        "device": bench.device.type,
    }


def _blocks(parent: Subject, bench: Bench) -> list[str]:
    def make(key: str) -> dict[str, Any]:
        return {"blocks": [block.name for block in find_blocks(parent.model, bench.example())]}

    settings = {"parent": parent.identity, "code": code_version("models")}
    blocks: list[str] = bench.store.once("blocks", settings, make)["blocks"]
    return blocks


def _of(chain: Sequence[Attack], outcomes: Sequence[Outcomes]) -> list[Outcomes]:
    """The outcomes of one threat model."""
    return [outcome for outcome in outcomes if outcome.threat == chain[0].threat]


def _worst(outcomes: Sequence[Outcomes]) -> list[bool]:
    """Per sample, whether it resisted every one of these attacks."""
    return [all(column) for column in zip(*(outcome.robust for outcome in outcomes), strict=True)]


def _used(case: Case, bench: Bench) -> dict[str, Split]:
    """The images that a case learned from, by use; the evaluation must share none of them."""
    used = {}
    if case.strategy is not None:
        used["scoring"] = scoring_sample(bench.data, case.strategy, case.seed)
    if case.recipe is not None or case.model.recipe is not None:
        used["training"] = bench.data.train
    return used


def _provenance(subject: Subject, sample: Split, bench: Bench) -> dict[str, Any]:
    """What is recorded about where a number comes from."""
    hashes = {"weights": subject.weights, "samples": sample.hash, "precision": "float32"}
    return {**hashes, **bench.surroundings}
