"""The sentences that belong beneath a table: what its numbers are, and what they are not."""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.report.groups import group
from robustprune.results.claims import title
from robustprune.results.records import CaseResult
from robustprune.results.words import plural

ALPHA = 0.05
"""A difference is marked * where its Holm-adjusted p-value is below this."""

ENOUGH_SEEDS = 3
"""Fewer support no claim on a strategy."""


def notes(cases: Sequence[CaseResult], confidence: float = 0.95) -> list[str]:
    """Say in sentences what the numbers of these cases are and are not."""
    return [
        _about_samples(cases),
        *_about_attacks(cases),
        *_about_statistics(cases, confidence),
        *_about_costs(cases),
        *_about_evidence(cases),
    ]


def _about_samples(cases: Sequence[CaseResult]) -> str:
    sizes = " and ".join(f"{size:,}" for size in sorted({len(case.labels) for case in cases}))
    sources = dict.fromkeys(str(case.environment["data"]) for case in cases if case.environment.get("data"))
    hashes = dict.fromkeys(case.sample_hash[:12] for case in cases if case.sample_hash)
    return ", ".join([f"n = {sizes} samples", *sources, *(f"hash {one}" for one in hashes)]) + "."


def _about_attacks(cases: Sequence[CaseResult]) -> list[str]:
    attacks = {}
    for outcome in (outcome for case in cases for outcome in case.outcomes):
        settings = [f"{name} {value}" for name, value in outcome.settings.items() if value not in ("", None)]
        attacks[title(outcome)] = f" ({', '.join(settings)})" if settings else ""
    if not attacks:
        return ["No attack ran: nothing is known about robustness."]
    return [
        f"Attacks, made anew on each network: {'; '.join(name + how for name, how in attacks.items())}.",
        "Robust accuracy is an upper bound: a stronger attack can only lower it. It counts over all n "
        "samples: one that is wrong without any attack is not robust. The worst case counts the samples that "
        "withstand every attack of the table.",
        "Attacks of one threat model (norm and eps) run cheapest first, each on what those before left "
        "standing. A sample once broken stays broken, so a later column of the same threat model can only be "
        "lower. Random noise and images made on the parent stand outside this order.",
    ]


def _about_statistics(cases: Sequence[CaseResult], confidence: float) -> list[str]:
    level = f"{100 * confidence:g} %"
    seeds = max((len(one.cases) for one in group(cases)), default=0)
    found = [
        f"[a, b] is a {level} interval: Wilson's for an accuracy, Tango's paired score interval for a "
        "change, which is network minus parent on the same samples, in points.",
        f"* marks a change that is significant: McNemar's exact test, p < {ALPHA:g} after Holm's adjustment "
        "over the rows of the table, for each measure.",
    ]
    if seeds > 1:
        found.append(
            "Over several seeds a value is their mean, and (a to b) their range. The unit of intervals and "
            "tests is the sample, not the seed (Tango's interval of the seeds' mean, exact sign-flip test; "
            "for an accuracy, means of Wilson's ends): they speak of these networks on new samples. What "
            "training again would change shows in the range."
        )
    if seeds < ENOUGH_SEEDS:
        found.append("Fewer than three seeds: this compares networks and supports no claim on a strategy.")
    return found


def _about_costs(cases: Sequence[CaseResult]) -> list[str]:
    devices = dict.fromkeys(f"{case.cost.device}, {plural(case.cost.threads, 'thread')}" for case in cases)
    memory = dict.fromkeys(case.cost.memory_method for case in cases)
    return [
        "MACs: multiply-accumulates of convolutions, linear layers and attention's matrix products for one sample. "
        "FLOPs fall alike.",
        f"Latency: median of one forward pass ({'; '.join(devices)}) and, as a factor, the median ratio to "
        f"the parent's, timed in turn. Memory: {'; '.join(memory)}.",
    ]


def _about_evidence(cases: Sequence[CaseResult]) -> list[str]:
    """Name the validity checks that failed, in how many cases, and what one of them saw.

    A check is made once for every threat model; a case counts once.
    """
    failed: dict[tuple[int, str], dict[str, str]] = {}
    for case in cases:
        for check in case.checks:
            if check.status == "fail":
                failed.setdefault((check.number, check.name), {}).setdefault(case.case, check.evidence)
    return [
        f"Check {number} ({name}) failed in {plural(len(found), 'case')}, such as {case}: {found[case]}."
        for (number, name), found in sorted(failed.items())
        for case in [*found][:1]
    ]
