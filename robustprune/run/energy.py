"""The energy of networks that were measured: running them, and fine-tuning them. Only where that was asked for.

It is measured after everything else, by this process alone, one network after another. Fine-tuning is not done anew:
a few epochs on some of the training images are measured, and scaled to the epochs and images of the recipe.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from robustprune.cost import batch_of
from robustprune.cost.energy import Energy, Metering, of_passes
from robustprune.cost.steadiness import crowded
from robustprune.finetune import next_to
from robustprune.results.costs import BUSY, FINE_TUNING, Cost
from robustprune.results.records import CaseResult
from robustprune.results.words import plural
from robustprune.run.bench import Bench
from robustprune.run.case import Finished, Measured
from robustprune.run.latest import keep
from robustprune.run.shelf import BASELINE, Shelf
from robustprune.run.suite import CaseWork, recall
from robustprune.run.training import train
from robustprune.suite.cases import Suite

IMAGES = 512
"""Training images that are shown while fine-tuning is measured, at most."""

Found = dict[str, Energy]


def with_energy(finished: Finished, bench: Bench, metering: Metering) -> Finished:
    """Add the energy of a network to its cost, and that of its fine-tuning where it had one."""
    cost = _added(finished.result.cost, *_energy(finished.measured, bench, metering))
    return replace(finished, result=replace(finished.result, cost=cost))


def suite_energy(
    suite: Suite, place: Shelf, cases: Sequence[CaseResult], device: str, metering: Metering
) -> list[CaseResult]:
    """Add the energy of every case of a suite to the latest results; networks of one shape share it."""
    work, by_name = CaseWork(suite=suite, store=place.store, device=device), {case.id: case for case in suite.cases}
    known: dict[str, tuple[Found, str]] = {}
    found = []
    for one in cases:
        measured = recall(by_name[one.case], work)
        if measured is None:
            found.append(replace(one, cost=_added(one.cost, {}, "not measured: its network is not in the store")))
            continue
        key = json.dumps([measured.network.shape, str(by_name[one.case].recipe)], default=str)
        if key not in known:
            known[key] = _energy(measured, work.bench, metering)
        found.append(replace(one, cost=_added(one.cost, *known[key])))
    keep(found, place.latest / BASELINE)
    return found


def _energy(measured: Measured, bench: Bench, metering: Metering) -> tuple[Found, str]:
    """Measure what a network takes, and say how, or why not."""
    size, busy = max(bench.suite.batches), crowded() * f", {BUSY}"
    x = batch_of(bench.example, size).to(bench.device)
    energy, passes = of_passes(measured.network.model, x, metering)
    if isinstance(energy, str):
        return {}, energy
    found, said = {f"batch {size}": energy}, f"{passes:,} passes of batch {size}"
    tuned = _fine_tuning(measured, bench, metering)
    if tuned is not None:
        found[FINE_TUNING], how = tuned
        said = f"{said}; fine-tuning from {how}"
    return found, f"{said}, by {energy.method}{busy}"


def _fine_tuning(measured: Measured, bench: Bench, metering: Metering) -> tuple[Energy, str] | None:
    """Measure some epochs of a case's recipe on some images, and scale them to the whole of it."""
    recipe, start, data = measured.case.recipe, measured.parent, bench.data.train
    if recipe is None or not recipe.epochs or start is None:
        return None
    shown = recipe.shares(len(data))[0]
    some = data.balanced(min(IMAGES, shown), seed=0)
    little = replace(recipe, epochs=1, samples=None, hold_out=0.0, patience=None)
    teacher, near = start.network.model, next_to(start.network.model, measured.network.removed)

    def course(epochs: int) -> Callable[[], None]:
        net = copy.deepcopy(measured.network.model).to(bench.device)
        wanted = replace(little, epochs=epochs)
        return lambda: train(net, wanted, measured.case.seed, some, lambda epoch: None, teacher=teacher, near=near)

    began = time.perf_counter()
    course(1)()
    epochs = max(1, round(metering.seconds / max(time.perf_counter() - began, 1e-3)))
    found = metering.of(course(epochs))
    if isinstance(found, str):
        return None
    how = f"{plural(epochs, 'epoch')} on {len(some):,} images, for {recipe.epochs:,} on {shown:,}"
    return found.times(recipe.epochs * shown / (epochs * len(some))), how


def _added(cost: Cost, found: Found, method: str) -> Cost:
    grams = {key: one.grams for key, one in found.items() if one.grams is not None}
    return replace(
        cost, energy_joules={key: one.joules for key, one in found.items()}, energy_grams=grams, energy_method=method
    )
