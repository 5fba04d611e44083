"""A section for a model card: what the network is, what was measured, what that does not say. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustprune.report.markdown import NONE, inline, pipe
from robustprune.results.claims import claims, named, share
from robustprune.results.cost_changes import changes
from robustprune.results.costs import FINE_TUNING
from robustprune.results.overstated import by_threat
from robustprune.results.records import CaseResult
from robustprune.results.statistics import wilson
from robustprune.results.trust import in_words
from robustprune.results.words import between, percent, points_between
from robustprune.review.shifts import shifts
from robustprune.ship.card_data import front_matter

HEAD = ("", "this network", "its parent", "change")


def model_card(case: CaseResult, parent: CaseResult, files: Sequence[str] = ()) -> str:
    """Write the section as Markdown, beneath a head that tools read (card_data.py).

    `files` are lines about what was exported, such as ONNX parity.
    """
    gone = f" ({', '.join(case.removed)})" if case.removed else ""
    recipe = f", fine-tuned by recipe {case.recipe}" if case.recipe else ""
    lines = [
        "## Evaluation: layer pruning and adversarial robustness",
        "",
        inline(
            f"Pruned from `{parent.model}` by {case.strategy}: {len(case.removed)} of {len(case.blocks)} "
            f"removable {case.units} gone{gone}{recipe}, seed {case.seed}."
        ),
        "",
        pipe(HEAD, [*_accuracies(case, parent), *_costs(case, parent)], padded=False),
        "",
        *(f"- {inline(line)}" for line in [*files, *_notes(case)]),
    ]
    return front_matter(case) + "\n" + "\n".join(lines) + "\n"


def _accuracies(case: CaseResult, parent: CaseResult) -> Iterator[tuple[str, str, str, str]]:
    theirs = {shift.claim: shift for shift in shifts(case, parent)}
    for claim, now in claims(case).items():
        accuracy = between(share(now), *wilson(sum(now), len(now)))
        old, change = NONE, NONE
        if claim in theirs:
            shift = theirs[claim]
            old = percent(shift.before)
            change = f"{points_between(shift.difference, shift.low, shift.high)} points"
        yield named(claim), accuracy, old, change


def _costs(case: CaseResult, parent: CaseResult) -> Iterator[tuple[str, str, str, str]]:
    for found in changes(case.cost, parent.cost):
        change, number = NONE, found.measure.number.format
        if found.ratio is not None:
            change = f"x {found.ratio:.2f}" if found.measure.timed else f"{100 * (found.ratio - 1):+.1f} %"
            change += found.doubt
        yield found.measure.title, number(found.now), number(found.before), change


def _notes(case: CaseResult) -> Iterator[str]:
    """Yield what has to be known to read the numbers, a line each."""
    made = case.environment
    data = f" of {made['data']}" if made.get("data") else ""
    yield (
        f"Measured on {len(case.labels):,} samples{data} (sha256 {case.sample_hash[:16]}), both networks "
        "on the same ones. Intervals are 95 %: Wilson's for an accuracy, Tango's for a paired change."
    )
    attacks = dict.fromkeys(f"{outcome.attack} ({outcome.threat})" for outcome in case.outcomes)
    yield f"Attacks, made anew on each network: {', '.join(attacks) or 'none'}."
    yield "Robust accuracy is over all samples and an upper bound: a stronger attack can only lower it."
    for one in by_threat(case).values():
        yield f"Robust accuracy, {one.threat}: {one.text}."
    yield "An adaptive attack against a stated defence was not made; it cannot be automated."
    tuning = case.cost.energy_joules.get(FINE_TUNING)
    if tuning is not None:
        yield f"Fine-tuning took about {tuning:.3g} J."
    if case.cost.energy_method:
        yield f"Energy: {case.cost.energy_method}."
    passed = sum(check.status == "pass" for check in case.checks)
    failed = [f"{check.number} {check.name} ({check.evidence})" for check in case.checks if check.status == "fail"]
    names = f": {'; '.join(failed)}" if failed else ""
    yield f"Evidence: {in_words(case)}; {passed} validity checks passed, {len(failed)} failed{names}."
    yield (
        f"Weights {case.weights_hash[:16]}; robustprune {made.get('robustprune')}, "
        f"torch {made.get('torch')}, "
        f"{made.get('device_name') or made.get('device')}, commit {made.get('commit')}."
    )
