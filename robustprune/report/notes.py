"""The sentences that belong beneath a table: what its numbers are, and what they are not."""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.report.groups import group
from robustprune.results.checks import kind_of
from robustprune.results.claims import title
from robustprune.results.overstated import NUMBER, STANDARD, by_threat
from robustprune.results.records import CaseResult
from robustprune.results.runs import ENOUGH, counted, run_names
from robustprune.results.surprise import measured
from robustprune.results.words import NORMS, plural

ALPHA = 0.05
"""A difference is marked * where its Holm-adjusted p-value is below this."""


def notes(cases: Sequence[CaseResult], confidence: float = 0.95) -> list[str]:
    """Say in sentences what the numbers of these cases are and are not."""
    return [
        _about_samples(cases),
        *_about_attacks(cases),
        *_about_overstatement(cases),
        *_about_perplexity(cases),
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
    together = threats(cases)
    every = f"All threats: {', '.join(together)}. The worst case counts the samples that withstand every one of them."
    return [
        f"Attacks, made anew on each network: {'; '.join(name + how for name, how in attacks.items())}.",
        "Robust accuracy is an upper bound: a stronger attack can only lower it. It counts over all n "
        "samples: one that is wrong without any attack is not robust. The worst case counts the samples that "
        "withstand every attack of the table.",
        "Attacks of one threat model (norm and eps) run cheapest first, each on what those before left "
        "standing. A sample once broken stays broken, so a later column of the same threat model can only be "
        "lower. Random noise and images made on the parent stand outside this order.",
        *([every] if len(together) > 1 else []),
    ]


def _about_perplexity(cases: Sequence[CaseResult]) -> list[str]:
    if not measured(cases):
        return []
    return [
        "Perplexity: exp of the mean surprise (negative log-likelihood) by the token that follows each sample, without "
        "an attack; lower is better, 1 is never surprised, the number of tokens is guessing. Beside the parent's: the "
        "ratio on the same samples, with its interval over samples and, where there are several, runs; * as for the "
        "changes. Over runs the mean is geometric."
    ]


def threats(cases: Sequence[CaseResult]) -> list[str]:
    """List the threats that the cases met, where one of them is no ball of a norm; else none."""
    outcomes = [outcome for case in cases for outcome in case.outcomes]
    names = dict.fromkeys(outcome.threat for outcome in outcomes)
    return [*names] if any(outcome.norm not in NORMS for outcome in outcomes) else []


def _about_overstatement(cases: Sequence[CaseResult]) -> list[str]:
    """Say what the column of bounds is, where it has any."""
    found = [one for case in cases for one in by_threat(case).values()]
    if not found:
        return []
    margins = {f"{100 * one.margin:g}" for one in found if one.margin is not None}
    rule = f" TRUSTED takes {' or '.join(sorted(margins))} points at most." if margins else ""
    others = sorted({one.beside for one in found} - {STANDARD})
    stand_in = f" In parentheses the attack that stands in for it: {'; '.join(others)}." if others else ""
    return [
        f"Above {STANDARD}'s: by how many points a row's mean robust accuracy can be above what {STANDARD} leaves, "
        "under the threat model where it is most. It ran on survivors drawn at random; the bound is at 95 % (Clopper "
        'and Pearson, over all runs); without "at most" it ran on all. "Not bounded": the survivors that it could '
        f"attack at the attacks' own cost are too few for a bound within the margin.{stand_in}{rule}"
    ]


def _about_statistics(cases: Sequence[CaseResult], confidence: float) -> list[str]:
    level = f"{100 * confidence:g} %"
    groups = [one for one in group(cases) if one.parents is not None and not one.first.as_given]
    runs = dict.fromkeys(counted(one.cases) for one in groups)
    found = [
        f"[a, b] is a {level} interval: Wilson's for an accuracy; for a change, which is network minus parent on the "
        "same samples, in points, Tango's paired score interval, widened by the variance between training runs."
    ]
    if runs:
        found.append(
            f"Training runs: {'; '.join(runs)}. A value is their mean, and (a to b) their range. A change is over "
            "samples and runs, two crossed random factors (analysis of variance, the variance between runs pooled over "
            "the strategies of a network where they agree in it, Hillis' degrees of freedom): it speaks of training "
            "again, on new samples. The interval of an accuracy is over samples alone."
        )
        found.append(
            f"* marks a change that is significant, p < {ALPHA:g} after Holm's adjustment over the rows of the table, "
            "for each measure. One run is not tested: it says nothing about training again."
        )
    if any(case.endswith("of one parent") for case in runs):
        found.append("Where the runs are seeds of one parent, what is said holds for that parent.")
    if any(len(set(run_names(one.cases))) < ENOUGH for one in groups):
        found.append("Fewer than three runs: this compares networks and supports no claim on a strategy.")
    return found


def _about_costs(cases: Sequence[CaseResult]) -> list[str]:
    ends = " [its quartiles]" if any(case.cost.latency_ratio_range for case in cases) else ""
    busy = " Busy machine: the rounds differ, or there was more work than processors." * any(
        case.cost.latency_busy for case in cases
    )
    devices = dict.fromkeys(f"{case.cost.device}, {plural(case.cost.threads, 'thread')}" for case in cases)
    memory = dict.fromkeys(case.cost.memory_method for case in cases)
    unknown = dict.fromkeys(name for case in cases for name in case.cost.not_counted)
    missing = f" Not counted, although it multiplies: {', '.join(unknown)}." if unknown else ""
    energy = dict.fromkeys(case.cost.energy_method for case in cases if case.cost.energy_method)
    return [
        "MACs: multiply-accumulates of convolutions, of linear and recurrent layers, and of matrix products, those of "
        f"attention among them, for one sample. FLOPs fall alike.{missing}",
        f"Latency: median of one forward pass ({'; '.join(devices)}) and, as a factor, the median ratio{ends} to "
        f"the parent's, timed in turn.{busy} Memory: {'; '.join(memory)}.",
        *([f"Energy, what the machine draws when idle included: {'; '.join(energy)}."] if energy else []),
    ]


def _about_evidence(cases: Sequence[CaseResult]) -> list[str]:
    """Name the validity checks that failed, those of the attack first, in how many cases, and what one of them saw.

    A check is made once for every threat model; a case counts once. The distance from a stronger attack has a column.
    """
    failed: dict[tuple[int, str], dict[str, str]] = {}
    for case in cases:
        for check in case.checks:
            if check.status == "fail" and not (check.number == NUMBER and check.figures):
                failed.setdefault((check.number, check.name), {}).setdefault(case.case, check.evidence)
    return [
        f"{'Check' if of_attack else 'Not about the attack: check'} {number} ({name}) failed in "
        f"{plural(len(found), 'case')}, such as {case}: {found[case]}."
        for of_attack in (True, False)
        for (number, name), found in sorted(failed.items())
        for case in [*found][:1]
        if (kind_of(number) == "attack") == of_attack
    ]
