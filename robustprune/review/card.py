"""A section for a model card: what the network is, what was measured, what that does not say. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustprune.regression import CLEAN, claims
from robustprune.results import CaseResult
from robustprune.statistics import paired, wilson

CONFIDENCE = 0.95


def model_card(case: CaseResult, parent: CaseResult, files: Sequence[str] = ()) -> str:
    """Write the section as Markdown. `files` are lines about what was exported, such as ONNX parity."""
    gone = f" ({', '.join(case.removed)})" if case.removed else ""
    recipe = f", fine-tuned by recipe {case.recipe}" if case.recipe else ""
    lines = [
        "## Evaluation: layer pruning and adversarial robustness",
        "",
        f"Pruned from `{parent.model}` by {case.strategy}: {len(case.removed)} of {len(case.blocks)} "
        f"removable blocks gone{gone}{recipe}, seed {case.seed}.",
        "",
        "| | this network | its parent | change |",
        "|:--|--:|--:|--:|",
        *_accuracies(case, parent),
        *_costs(case, parent),
        "",
        *(f"- {line}" for line in [*files, *_notes(case)]),
    ]
    return "\n".join(lines) + "\n"


def _accuracies(case: CaseResult, parent: CaseResult) -> Iterator[str]:
    theirs = claims(parent)
    for claim, now in claims(case).items():
        low, high = wilson(sum(now), len(now), CONFIDENCE)
        share = f"{100 * sum(now) / len(now):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        before = theirs.get(claim)
        change, old = "-", "-"
        if before is not None:
            pair = paired(before, now, CONFIDENCE)
            old = f"{100 * sum(before) / len(before):.1f} %"
            change = f"{100 * pair.difference:+.1f} [{100 * pair.low:+.1f}, {100 * pair.high:+.1f}] points"
        name = "clean accuracy" if claim == CLEAN else f"robust accuracy, {claim}"
        yield f"| {name} | {share} | {old} | {change} |"


def _costs(case: CaseResult, parent: CaseResult) -> Iterator[str]:
    for name, now, before in (
        ("MACs a sample", case.cost.macs, parent.cost.macs),
        ("parameters", case.cost.params, parent.cost.params),
        ("file size, bytes", case.cost.file_bytes, parent.cost.file_bytes),
        ("memory of one forward pass, bytes", case.cost.memory_bytes, parent.cost.memory_bytes),
    ):
        change = f"{100 * (now / before - 1):+.1f} %" if before else "-"
        yield f"| {name} | {now:,} | {before:,} | {change} |"
    for batch, (_, median, _) in case.cost.latency_ms.items():
        before_ms = parent.cost.latency_ms.get(batch, (0.0, 0.0, 0.0))[1]
        ratio = case.cost.latency_ratio.get(batch)
        change = f"x {ratio:.2f}" if ratio else "-"
        yield f"| latency, batch {batch} | {median:.3g} ms | {before_ms:.3g} ms | {change} |"


def _notes(case: CaseResult) -> Iterator[str]:
    """What has to be known to read the numbers."""
    made = case.environment
    data = f" of {made['data']}" if made.get("data") else ""
    yield (
        f"Measured on {len(case.labels):,} samples{data} (sha256 {case.sample_hash[:16]}), both networks "
        "on the same ones. Intervals are 95 %: Wilson's for an accuracy, Tango's for a paired change."
    )
    attacks = dict.fromkeys(f"{outcome.attack} ({outcome.threat})" for outcome in case.outcomes)
    yield f"Attacks, made anew on each network: {', '.join(attacks) or 'none'}."
    yield "Robust accuracy is over all samples and an upper bound: a stronger attack can only lower it."
    yield "An adaptive attack against a stated defence was not made; it cannot be automated."
    passed = sum(check.status == "pass" for check in case.checks)
    failed = [f"{check.number} {check.name} ({check.evidence})" for check in case.checks if check.status == "fail"]
    names = f": {'; '.join(failed)}" if failed else ""
    yield f"Evidence: {case.trust}; {passed} validity checks passed, {len(failed)} failed{names}."
    yield (
        f"Weights {case.weights_hash[:16]}; robustprune {made.get('robustprune')}, "
        f"torch {made.get('torch')}, "
        f"{made.get('device_name') or made.get('device')}, commit {made.get('commit')}."
    )
