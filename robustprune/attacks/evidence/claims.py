"""Is what is said about the number covered by what was measured? Checks 1, 19, 21 and 27 to 30.

They look at outcomes and records alone; only 30 runs what ships.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robustprune.attacks.evidence.context import EvidenceContext
from robustprune.attacks.evidence.probes import batches, logits_of, share
from robustprune.attacks.evidence.registry import Seen, check, holds, skipped
from robustprune.results import CLEAN_ERROR, FAILED, ROBUST, Outcomes

BUDGETS = ("steps", "queries", "draws", "restarts")
"""Settings that say what an attack may spend. FGSM has none: its one step is its name."""
KNOWLEDGE = {
    "FGSM": "white box",
    "PGD": "white box",
    "CW": "white box",
    "APGD": "white box",
    "FAB": "white box",
    "Square": "logits by query",
    "transfer": "the parent's gradients",
    "noise": "none",
}
CROSS_ENTROPY, MARGINS = ("FGSM", "APGD-CE"), ("CW", "APGD-T", "APGD-DLR", "FAB", "Square")
AGREE = 0.999
RECORDED = {
    "weights": ("weights_hash", "weights"),
    "samples": ("sample_hash", "samples"),
    "torch version": ("torch",),
    "torchattacks version": ("torchattacks",),
    "device": ("device",),
    "precision": ("precision",),
}


@check(1, "threat model complete")
def threat_model_complete(ctx: EvidenceContext) -> Seen:
    """Every number has its norm, its eps, what the attacker knows, and what it may spend."""
    if not ctx.outcomes:
        return skipped("no outcomes were given")
    lacks = [f"{one.attack}: {missing}" for one in ctx.outcomes if (missing := _unstated(one))]
    threats = ", ".join(dict.fromkeys(one.threat for one in ctx.outcomes))
    return holds(not lacks, f"{threats}; " + ("; ".join(lacks) if lacks else "knowledge and budget of each recorded"))


@check(19, "more than one loss")
def more_than_one_loss(ctx: EvidenceContext) -> Seen:
    """An attack on the cross-entropy and one on a margin both ran."""
    ran = [one for one in ctx.outcomes if not one.error]
    if not ran:
        return skipped("no outcomes were given")
    entropy = [one.attack for one in ran if one.settings.get("loss") == "ce" or one.attack.startswith(CROSS_ENTROPY)]
    margins = [
        one.attack for one in ran if one.settings.get("loss") in ("margin", "dlr") or one.attack.startswith(MARGINS)
    ]
    seen = f"cross-entropy: {', '.join(entropy) or 'none'}; margin: {', '.join(margins) or 'none'}"
    return holds(bool(entropy and margins), seen)


@check(21, "misclassified counted", blocking=True)
def misclassified_counted(ctx: EvidenceContext) -> Seen:
    """Robust accuracy is over all n samples, clean errors included as not robust; the success rate is shown
    apart."""
    if not ctx.outcomes or ctx.clean is None:
        return skipped("no outcomes, or no clean verdicts, were given")
    n = len(ctx.x)
    wrong = [one.attack for one in ctx.outcomes if not _counts_errors(one, ctx.clean, n)]
    robust = [all(one.status[i] == ROBUST for one in ctx.outcomes) for i in range(n)] if not wrong else []
    right = sum(ctx.clean)
    if wrong:
        return holds(False, f"clean errors are not counted over all {n} samples by {', '.join(wrong)}")
    success = share(right - sum(robust), right)
    return holds(True, f"robust {share(sum(robust), n)} of all; success on {right} right samples: {success}")


@check(27, "data hygiene", blocking=True)
def data_hygiene(ctx: EvidenceContext) -> Seen:
    """No sample that is reported on was used to score blocks or to fine-tune, by hash."""
    if ctx.sample_hashes is None or ctx.used_hashes is None:
        return skipped("no hashes of evaluation samples and of other uses were given")
    mine = set(ctx.sample_hashes)
    shared = {use: len(mine & set(hashes)) for use, hashes in ctx.used_hashes.items()}
    twice = len(ctx.sample_hashes) - len(mine)
    seen = ", ".join(f"{use}: {count} of {len(set(ctx.used_hashes[use]))} shared" for use, count in shared.items())
    return holds(not any(shared.values()), f"{len(mine)} samples ({twice} repeated); {seen or 'no other use'}")


@check(28, "complete", blocking=True)
def complete(ctx: EvidenceContext) -> Seen:
    """Every attack decided every sample; no batch failed."""
    if not ctx.outcomes:
        return skipped("no outcomes were given")
    lost = {one.attack: one.status.count(FAILED) for one in ctx.outcomes if FAILED in one.status}
    short = [one.attack for one in ctx.outcomes if len(one.status) != len(ctx.x)]
    errors = list(dict.fromkeys(one.error for one in ctx.outcomes if one.error))
    n = f"{len(ctx.outcomes)} attacks on {len(ctx.x)} samples"
    faults = (
        [f"{name} failed on {k}" for name, k in lost.items()]
        + [f"{name} has another length" for name in short]
        + errors
    )
    return holds(not faults, n + ("; " + "; ".join(faults) if faults else ", all decided"))


@check(29, "provenance")
def provenance(ctx: EvidenceContext) -> Seen:
    """Hashes of weights and samples, versions, device and precision are recorded."""
    if ctx.provenance is None:
        return skipped("no record of where the number was made was given")
    settings = {key: value for one in ctx.outcomes for key, value in {**one.settings, **one.notes}.items()}
    known = {**settings, **ctx.provenance}
    lacks = [what for what, keys in RECORDED.items() if not any(known.get(key) for key in keys)]
    return holds(not lacks, f"not recorded: {', '.join(lacks)}" if lacks else f"recorded: {', '.join(RECORDED)}")


@check(30, "artefact parity")
def artefact_parity(ctx: EvidenceContext) -> Seen:
    """What ships predicts as what was attacked on 99.9 % of all images; unmeasured where it was not given."""
    if ctx.artefact is None:
        return skipped(
            "unmeasured: what ships (ONNX, half precision) was not given; the number is of this network alone"
        )
    ours = logits_of(ctx.model, ctx.x.to(ctx.device), ctx.batch_size).argmax(1)
    with torch.no_grad():
        parts = [torch.as_tensor(ctx.artefact(part)).float().cpu() for part in batches(ctx.x, ctx.batch_size)]
    same = int((torch.cat(parts).argmax(1) == ours).sum())
    return holds(same >= AGREE * len(ours), f"same prediction on {share(same, len(ours))}")


def open_points() -> str:
    """Return what no check can settle. It belongs under every report, and is never counted as passed."""
    return (
        "Open: an adaptive attack, written against what this network defends itself with, "
        "cannot be automated; "
        "robust accuracy is an upper bound, which a better attack can only lower."
    )


def _unstated(one: Outcomes) -> str:
    knows = one.settings.get("knowledge") or any(one.attack.startswith(kind) for kind in KNOWLEDGE)
    spends = one.attack.startswith("FGSM") or any(key in one.settings for key in BUDGETS)
    missing = [what for what, there in (("knowledge", knows), ("step or query budget", spends)) if not there]
    return ", ".join(missing)


def _counts_errors(one: Outcomes, clean: Sequence[bool], n: int) -> bool:
    """Whether the attack has a letter for all n samples, and 'e' exactly for those that are wrong without
    it."""
    if len(one.status) != n or len(clean) != n:
        return False
    return all(
        (letter == CLEAN_ERROR) != right or letter == FAILED for letter, right in zip(one.status, clean, strict=True)
    )
