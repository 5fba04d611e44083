"""Is what is said about the number covered by what was measured? Checks 1, 19, 21 and 27 to 29.

They look at outcomes and records alone. What an attack knows, climbs and may spend is what it declares itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import share
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.results.records import CLEAN_ERROR, FAILED, ROBUST, Outcomes

RECORDED = {
    "weights": "weights",
    "samples": "samples",
    "torch version": "torch",
    "torchattacks version": "torchattacks",
    "device": "device",
}
"""What has to be known about where a number was made, and its key in the record."""

TRAINING = "training"
"""The use of samples that data hygiene must know of."""


@check(1)
def threat_model_complete(ctx: EvidenceContext) -> Seen:
    """Every number has its norm, its eps, what the attacker knows, and what it may spend."""
    if not ctx.outcomes:
        return skipped("no outcomes were given")
    lacks = [f"{one.attack}: {missing}" for one in ctx.outcomes if (missing := _unstated(one))]
    threats = ", ".join(dict.fromkeys(one.threat for one in ctx.outcomes))
    return holds(not lacks, f"{threats}; " + ("; ".join(lacks) if lacks else "knowledge and budget of each recorded"))


@check(19, in_a_ball=True)
def more_than_one_loss(ctx: EvidenceContext) -> Seen:
    """An attack on the cross-entropy and one on a margin both ran."""
    ran = [one for one in ctx.outcomes if not one.error]
    if not ran:
        return skipped("no outcomes were given")
    entropy = [one.attack for one in ran if one.objective == "cross-entropy"]
    margins = [one.attack for one in ran if one.objective == "margin"]
    seen = f"cross-entropy: {', '.join(entropy) or 'none'}; margin: {', '.join(margins) or 'none'}"
    return holds(bool(entropy and margins), seen)


@check(21)
def misclassified_counted(ctx: EvidenceContext) -> Seen:
    """Robust accuracy is over all n samples, clean errors included as not robust; success is shown apart."""
    if not ctx.outcomes or ctx.clean is None:
        return skipped("no outcomes, or no clean verdicts, were given")
    n = len(ctx.x)
    wrong = [one.attack for one in ctx.outcomes if not _counts_errors(one, ctx.clean, n)]
    if wrong:
        return holds(False, f"clean errors are not counted over all {n} samples by {', '.join(wrong)}")
    robust = sum(all(one.status[i] == ROBUST for one in ctx.outcomes) for i in range(n))
    right = sum(ctx.clean)
    success = share(right - robust, right)
    return holds(True, f"robust {share(robust, n)} of all; success on {right} right samples: {success}")


@check(27)
def data_hygiene(ctx: EvidenceContext) -> Seen:
    """No sample that is reported on was used to train, to score blocks or to fine-tune, by hash.

    What a finished network was trained on is known to its owner alone: without the hashes nothing passes.
    """
    if ctx.sample_hashes is None or ctx.used_hashes is None:
        return skipped("no hashes of evaluation samples and of other uses were given")
    if not ctx.used_hashes:
        return skipped("unknown what the network was trained on: no hashes of its training data were given")
    return learned_from(ctx.sample_hashes, ctx.used_hashes)


def learned_from(samples: Sequence[str], used: Mapping[str, Collection[str]]) -> Seen:
    """Say how many samples are among the images of each use, all of them as hashes."""
    mine = set(samples)
    shared = {use: len(mine & set(hashes)) for use, hashes in used.items()}
    seen = ", ".join(f"{use}: {count} of {len(set(used[use]))} shared" for use, count in shared.items())
    seen = f"{len(mine)} samples ({len(samples) - len(mine)} repeated); {seen}"
    if not any(shared.values()) and TRAINING not in used:
        return skipped(f"{seen}; unknown what the network was trained on")
    return holds(not any(shared.values()), seen)


@check(28)
def complete(ctx: EvidenceContext) -> Seen:
    """Every attack decided every sample; no batch failed."""
    if not ctx.outcomes:
        return skipped("no outcomes were given")
    faults = [f"{one.attack} failed on {one.status.count(FAILED)}" for one in ctx.outcomes if FAILED in one.status]
    faults += [f"{one.attack} has another length" for one in ctx.outcomes if len(one.status) != len(ctx.x)]
    faults += dict.fromkeys(one.error for one in ctx.outcomes if one.error)
    n = f"{len(ctx.outcomes)} attacks on {len(ctx.x)} samples"
    return holds(not faults, n + ("; " + "; ".join(faults) if faults else ", all decided"))


@check(29)
def provenance(ctx: EvidenceContext) -> Seen:
    """Hashes of weights and samples, versions and device are recorded, and by every attack its precision."""
    if ctx.provenance is None:
        return skipped("no record of where the number was made was given")
    recorded = {what: bool(ctx.provenance.get(key)) for what, key in RECORDED.items()}
    recorded["precision"] = bool(ctx.outcomes) and all(one.notes.get("precision") for one in ctx.outcomes)
    lacks = [what for what, there in recorded.items() if not there]
    dirty = "; made with changes that are not in the commit" if ctx.provenance.get("dirty") else ""
    return holds(
        not lacks, (f"not recorded: {', '.join(lacks)}" if lacks else f"recorded: {', '.join(recorded)}") + dirty
    )


def _unstated(one: Outcomes) -> str:
    stated = {"knowledge": one.knowledge, "step or query budget": one.budget}
    return ", ".join(what for what, said in stated.items() if not said)


def _counts_errors(one: Outcomes, clean: Sequence[bool], n: int) -> bool:
    """Whether all n samples have a letter, and 'e' is the letter of just those that are wrong without the attack."""
    if len(one.status) != n or len(clean) != n:
        return False
    return all(
        (letter == CLEAN_ERROR) != right or letter == FAILED for letter, right in zip(one.status, clean, strict=True)
    )
