"""May the candidate take the parent's place? Measures both on the same samples and puts the review together.

A review is a suite of two cases, the parent and a finished artefact, run by the same code as every other suite: the
same attacks, made anew on each network, the same validity checks, the same judgement. A case of a suite that was
measured before is reviewed by the same function (`compose`), from what was measured.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from robustprune.attacks.engine.settings import BATCH
from robustprune.data import Split
from robustprune.models.artefact import Artefact
from robustprune.models.lending import is_text
from robustprune.policy import judge
from robustprune.report.markdown import printable
from robustprune.results.records import Check
from robustprune.review.artefacts.measured import agreement, set_beside, without_gradients
from robustprune.review.audit.controls import controls
from robustprune.review.clean_room import GRADED, Room, clean_room
from robustprune.review.extras import Effort, changed, exhibits, transfers, with_checks, with_room, with_structure
from robustprune.review.given import Given, Loading
from robustprune.review.learned import learned_checks, others
from robustprune.review.parity import Parity, itself_check, parity_check
from robustprune.review.record import Facts, Review
from robustprune.review.request import Request, as_suite
from robustprune.review.shown import shown
from robustprune.review.texts.alike import check_texts
from robustprune.run.bench import Bench, Listener
from robustprune.run.case import Finished
from robustprune.run.energy import with_energy
from robustprune.run.executors import Local
from robustprune.run.fits import check_fits, check_labels
from robustprune.run.store import Store, origins
from robustprune.run.suite import CaseWork, measure_cases


def review(request: Request, store: Store, listener: Listener) -> Review:
    """Measure what is missing and judge. InputError for models that do not fit each other or the data.

    All threads are used: the machine is ours, since a review has two cases only.
    """
    example, classes = request.data.test.x[:1], len(request.data.classes)
    nets = {side: given.load() for side, _, given in request.sides}
    if is_text(example):
        check_texts(nets, request.data, request.attacks)
    for side, net in nets.items():
        check_fits(net, example, classes, side)
        check_labels(net, request.data.classes, side)
    suite = as_suite(request, store)
    work = CaseWork(suite=suite, store=store, device=request.device)
    shipped = agreement(request, work.bench.sample)
    parent, *twins, candidate = measure_cases(suite.cases, work, Local(threads=None), listener)
    if request.energy is not None:
        parent, candidate = (with_energy(one, work.bench, request.energy) for one in (parent, candidate))
    *twins, candidate = (with_structure(one, parent, work.bench) for one in (*twins, candidate))
    candidate = without_gradients(candidate)
    room = in_clean_room(parent, candidate, request.candidate.loading, work.bench, request.effort)
    beside = request.held_out or request.data.test
    learned = what_it_learned(parent, candidate, work.bench.sample, beside, request.training)
    facts = _facts(request, work.bench)
    found = compose(parent, candidate, facts, work.bench, shipped, request.effort, room, learned)
    return dataclasses.replace(found, beside=set_beside(candidate, twins, work.bench, request.effort))


def in_clean_room(
    parent: Finished, candidate: Finished, loading: Loading | None, bench: Bench, effort: Effort
) -> Room | str:
    """Look whether the candidate behaves in service as it did under attack; a text says why that was not done."""
    if not effort.service_samples:
        return "no images were asked for"
    if loading is None:
        return "a copy in half precision is made here, and no file that a service could load"
    images = shown(parent, candidate, bench, effort.service_samples, GRADED)
    return clean_room(candidate.network, loading, images, bench.suite.attack_batch or BATCH)


def what_it_learned(
    parent: Finished, candidate: Finished, sample: Split, held_out: Split, training: Sequence[str] | None = None
) -> list[Check]:
    """Look whether the candidate learned from the samples, by hashes where they are given, and by its losses."""
    nets = candidate.network.model, parent.network.model
    return list(learned_checks(*nets, sample, others(held_out, sample), training))


def compose(
    parent: Finished,
    candidate: Finished,
    facts: Facts,
    bench: Bench,
    shipped: Parity | None = None,
    effort: Effort | None = None,
    room: Room | str = "it was not loaded as a service would",
    learned: Sequence[Check] = (),
) -> Review:
    """Judge two measured networks and put everything about them together."""
    effort = effort or Effort()
    itself = isinstance(candidate.network.model, Artefact)
    same = itself_check(shipped) if itself else parity_check(shipped)
    checked = with_room(with_checks(candidate.result, [same, *learned]), room)
    policy = bench.suite.policy
    tried, drawn = transfers(parent, candidate, bench, effort), exhibits(parent, candidate, bench, effort)
    return Review(
        candidate=checked,
        parent=parent.result,
        policy=policy,
        verdict=judge(checked, parent.result, policy),
        changes=changed(parent, candidate, bench),
        facts=dataclasses.replace(facts, origin=origins(bench.store)),
        transfers=tried,
        parity=shipped,
        exhibits=drawn,
    )


def facts_of(candidate: dict[str, Any], parent: dict[str, Any], bench: Bench, command: str, seed: int = 0) -> Facts:
    """Where a review comes from."""
    return Facts(
        candidate=candidate,
        parent=parent,
        data={"name": bench.data.name, "source": bench.data.source, "seed": seed},
        tier=bench.suite.tier,
        command=command,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        samples=bench.sample.hashes(),
        controls=controls(),
    )


def _facts(request: Request, bench: Bench) -> Facts:
    parent, candidate = request.names
    sides = _given(candidate, request.candidate), _given(parent, request.parent)
    return facts_of(*sides, bench, request.command, request.seed)


def _given(name: str, given: Given) -> dict[str, Any]:
    return {
        "name": name,
        "spec": printable(given.spec),
        "weights": printable(given.file.name) if given.file else None,
        "sha256": given.sha256,
        "fingerprint": given.fingerprint,
        "described": dict(given.described),
    }
