"""What is judged of a pruned network beside its parent: evidence, every claim, every class, what is saved.

Each function yields findings; `policy.judge` puts them together. To judge something more: one more of them, and a line
in `judge`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from robustprune.errors import InputError
from robustprune.policy.findings import ORDER, Decision, Finding, accuracy, whole_points
from robustprune.results.claims import CLEAN, WORST, by_class, headlines, kind, named, right, share, shared, title
from robustprune.results.costs import doubt
from robustprune.results.recall import word
from robustprune.results.records import FAILED, CaseResult, Outcomes
from robustprune.results.statistics import wilson
from robustprune.results.surprise import beside
from robustprune.results.trust import applies
from robustprune.results.words import percent


def check_same_samples(candidate: CaseResult, parent: CaseResult) -> None:
    """Raise InputError unless both results are about the same samples in the same order."""
    where = f"{candidate.case} against {parent.case}"
    hashes = {one.sample_hash for one in (candidate, parent)} - {""}
    if candidate.labels != parent.labels or len(hashes) > 1:
        raise InputError(f"{where}: not the same samples; measure both on the same data, in the same order")
    if not candidate.labels:
        raise InputError(f"{where}: no samples; expected at least one")
    for one in (candidate, parent):
        lengths = {len(one.clean), *(len(outcome.status) for outcome in one.outcomes)}
        if lengths != {len(one.labels)}:
            raise InputError(f"{one.case}: {len(one.labels)} labels but outcomes for {sorted(lengths)}")


def evidence(case: CaseResult, blocking: tuple[int, ...] | None, role: str) -> Iterator[Finding]:
    """Yield an UNTRUSTED finding for every blocking validity check that does not hold.

    A suite with several threat models makes a check once for each of them: every one must hold.
    """
    bad = [check for check in case.checks if check.blocking and check.status == "fail"]
    if blocking is not None:
        listed = [check for check in case.checks if check.number in blocking]
        bad = [check for check in listed if check.status == "fail" or (check.status != "pass" and applies(check))]
    elif case.trust == "INVALID" and not bad:
        yield _untrusted(f"evidence, {role}", "its measurement is marked INVALID")
    for check in bad:
        seen = f"{check.name}: {check.status}: {check.evidence}"
        yield _untrusted(f"validity check {check.number}, {role}", seen)
    made = {check.number for check in case.checks}
    for number in blocking or ():
        if number not in made:
            yield _untrusted(f"validity check {number}, {role}", "was not made")


def comparable(candidate: CaseResult, parent: CaseResult) -> Iterator[Finding]:
    """Yield an UNTRUSTED finding for every attack that did not run whole and alike on both networks.

    What is made on the parent runs on the candidate alone.
    """
    if not candidate.outcomes and not parent.outcomes:
        yield _untrusted("attacks", "none ran, so nothing is known about robustness")
    for case in (candidate, parent):
        for outcome in case.outcomes:
            failed = outcome.status.count(FAILED)
            if failed or outcome.error:
                reason = f" ({outcome.error})" if outcome.error else ""
                yield _untrusted(title(outcome), f"could not attack {failed} samples of {case.case}{reason}")
    ours, theirs = ({_key(one): one for one in case.outcomes} for case in (candidate, parent))
    for key in dict.fromkeys([*theirs, *ours]):
        if key not in theirs and ours[key].transferred:
            continue
        if key not in ours or key not in theirs:
            missing = candidate if key not in ours else parent
            yield _untrusted(title((ours | theirs)[key]), f"did not run on {missing.case}")
        if key in ours and key in theirs and ours[key].settings != theirs[key].settings:
            yield _untrusted(title(ours[key]), f"ran with another {_differing(ours[key], theirs[key])} on the parent")


def accuracies(
    candidate: CaseResult, parent: CaseResult, margin: Callable[[str], float], confidence: float
) -> Iterator[Finding]:
    """Judge every claim that both networks have: clean, the worst case, then attack by attack."""
    rows = shared(candidate, parent)
    for claim in [claim for claim in dict.fromkeys([CLEAN, WORST, *rows]) if claim in rows]:
        before, now = rows[claim]
        found = accuracy(named(claim), before, now, margin(claim), confidence)
        yield found if claim == CLEAN else _with_something_to_lose(found, before)


def classes(candidate: CaseResult, parent: CaseResult, margin: float, confidence: float) -> Iterator[Finding]:
    """Judge every class, clean and worst-case robust; one finding each, for the class that stands worst.

    Of two classes both are shown, as sensitivity and specificity.
    """
    rows = shared(candidate, parent)
    for claim in headlines(candidate, parent):
        before, now = rows[claim]
        found = []
        for name, members in by_class(parent):
            old, new = [before[i] for i in members], [now[i] for i in members]
            recall = word(parent, parent.labels[members[0]])
            finding = accuracy(f"{kind(claim)}, {recall or 'worst class'} ({name})", old, new, margin, confidence)
            found.append(_for_whole_set(finding, len(parent.labels)))
        if word(parent, 0) is not None:
            yield from found
        else:
            yield min(found, key=lambda one: (ORDER.index(one.verdict), one.low or 0.0))


def named_classes(
    candidate: CaseResult, parent: CaseResult, margins: Mapping[str, float], confidence: float
) -> Iterator[Finding]:
    """Judge the classes that have margins of their own, clean and worst-case robust. InputError for an unknown name."""
    rows, members = shared(candidate, parent), dict(by_class(parent))
    for name, margin in margins.items():
        if name not in {*members, *parent.classes}:
            known = ", ".join([*(parent.classes or members)][:12])
            raise InputError(f"policy: class_drops: no class {name!r}; the classes are {known}")
        for claim in headlines(candidate, parent):
            measure, places = f"{kind(claim)}, class {name}", members.get(name, [])
            if not places:
                text = f"{measure}: no sample is of this class"
                yield Finding(measure=measure, verdict="INCONCLUSIVE", text=text, margin=margin, n=0)
                continue
            old, new = ([row[place] for place in places] for row in rows[claim])
            yield _for_whole_set(accuracy(measure, old, new, margin, confidence), len(parent.labels))


def floors(candidate: CaseResult, least: Mapping[str, float | None], confidence: float) -> Iterator[Finding]:
    """Judge the candidate's own accuracy by a claim (`results.claims`) against a floor, whatever its parent has."""
    for claim, floor in least.items():
        row = right(candidate, claim)
        if row is None:
            continue
        low, high = wilson(sum(row), len(row), confidence)
        seen = (
            f"{named(claim)} {percent(share(row))} ({100 * confidence:g} % interval {percent(low)} to {percent(high)})"
        )
        measure, over = f"floor of {named(claim)}", floor is None or low > floor
        asked = "no floor asked for, however low" if not floor else f"above the floor of {whole_points(floor)} %"
        if not over:
            asked = f"not surely above the floor of {whole_points(floor or 0)} %, whatever its parent has"
        yield Finding(
            measure=measure,
            verdict="PASS" if over else "INCONCLUSIVE",
            text=f"{seen}: {asked}",
            margin=floor,
            n=len(row),
        )


def saving(candidate: CaseResult, parent: CaseResult, least: float) -> Iterator[Finding]:
    """Judge the share of the parent's MACs that is gone. It is counted, not sampled: no interval."""
    if parent.cost.macs <= 0 or candidate.cost.macs <= 0:
        if least > 0:
            text = "saving: the MACs were not counted"
            yield Finding(measure="saving", verdict="INCONCLUSIVE", text=text, margin=least)
        return
    saved = 1 - candidate.cost.macs / parent.cost.macs
    yield Finding(
        measure="saving",
        verdict="PASS" if saved >= least else "FAIL",
        text=f"saving: {100 * saved:.2f} % fewer MACs than the parent, at least {whole_points(least)} % asked for",
        difference=saved,
        margin=least,
    )


def latency(candidate: CaseResult, most: float) -> Iterator[Finding]:
    """Judge the latency relative to the parent's, at every batch size measured.

    It passes, or fails, where the middle half of the runs in turn lies within, or beyond, what is allowed. A result
    from before these quartiles were kept is judged by its median.
    """
    cost = candidate.cost
    if not cost.latency_ratio:
        text = f"latency: not measured, at most {most:g} of the parent's asked for"
        yield Finding(measure="latency", verdict="INCONCLUSIVE", text=text, margin=most)
    for batch, ratio in cost.latency_ratio.items():
        low, high = cost.latency_ratio_range.get(batch, (ratio, ratio))
        verdict: Decision = "PASS" if high <= most else "FAIL" if low > most else "INCONCLUSIVE"
        said = doubt(cost.latency_ratio_range.get(batch), batch in cost.latency_busy)
        unsure = "; measure again on a quiet machine" if verdict == "INCONCLUSIVE" else ""
        yield Finding(
            measure=f"latency, batch {batch}",
            verdict=verdict,
            text=f"latency, batch {batch}: {ratio:.2f}{said} of the parent's, at most {most:g} allowed{unsure}",
            difference=ratio,
            margin=most,
        )


def perplexities(candidate: CaseResult, parent: CaseResult, most: float, confidence: float) -> Iterator[Finding]:
    """Judge the perplexity relative to the parent's, on the same tokens, by its interval; in the finding less is worse.

    Its difference and margin are shares of the parent's perplexity: at most x 1.1 is a margin of 0.1.
    """
    found = beside([(candidate, parent)], confidence)
    if found is None:
        text = f"perplexity: not measured, at most {most:g} of the parent's asked for"
        yield Finding(measure="perplexity", verdict="INCONCLUSIVE", text=text, margin=most - 1)
        return
    verdict: Decision = "PASS" if found.high < most else "FAIL" if found.low > most else "INCONCLUSIVE"
    reach, gap, needed = math.log(found.high / found.value), abs(math.log(found.value / most)), None
    if verdict == "INCONCLUSIVE" and gap:
        needed = max(found.windows + 1, math.ceil(found.windows * (reach / gap) ** 2))
    more = f"; a ratio like this takes about {needed:,} samples" if needed else ""
    yield Finding(
        measure="perplexity",
        verdict=verdict,
        text=(
            f"perplexity: {found.value:.3f} of the parent's ({100 * confidence:g} % interval {found.low:.3f} to "
            f"{found.high:.3f}, n = {found.windows:,}), at most {most:g} allowed{more}"
        ),
        difference=1 - found.value,
        low=1 - found.high,
        high=1 - found.low,
        margin=most - 1,
        n=found.windows,
        needed_n=needed,
    )


def _untrusted(measure: str, text: str) -> Finding:
    return Finding(measure=measure, verdict="UNTRUSTED", text=f"{measure}: {text}")


def _key(outcome: Outcomes) -> tuple[str, str, float]:
    return outcome.attack, outcome.norm, outcome.eps


def _differing(ours: Outcomes, theirs: Outcomes) -> str:
    """Name the settings in which an attack on two networks differs."""
    names = ours.settings.keys() | theirs.settings.keys()
    return ", ".join(sorted(name for name in names if ours.settings.get(name) != theirs.settings.get(name)))


def _with_something_to_lose(finding: Finding, before: Sequence[bool]) -> Finding:
    """Make it INCONCLUSIVE where the parent is no better than the margin: no drop could fail, and no n settles that."""
    kept = share(before)
    if finding.verdict == "FAIL" or finding.margin is None or kept > finding.margin:
        return finding
    text = f"{finding.measure}: the parent keeps {100 * kept:.1f} %, too little to lose; attack with a smaller eps"
    return replace(finding, verdict="INCONCLUSIVE", text=text, needed_n=None)


def _for_whole_set(finding: Finding, n: int) -> Finding:
    """Scale the needed samples of one class to the whole evaluation set, at its mix of classes."""
    if finding.needed_n is None or not finding.n:
        return finding
    whole = math.ceil(finding.needed_n * n / finding.n)
    text = f"{finding.text} of this class ({whole:,} in all, at this mix of classes)"
    return replace(finding, needed_n=whole, text=text)
