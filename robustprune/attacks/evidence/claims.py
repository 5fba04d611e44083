"""Is what is said about the number covered by what was measured? Checks 1, 19, 21 to 24 and 26 to 30.

They look at outcomes and records alone; only 30 runs what ships.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from robustprune.attacks.evidence.context import EvidenceContext
from robustprune.attacks.evidence.probes import batches, logits_of, share
from robustprune.attacks.evidence.registry import Seen, check, holds, skipped
from robustprune.results import CLEAN_ERROR, FAILED, ROBUST, Outcomes
from robustprune.statistics import mcnemar, tango, wilson

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
SEEDS, AGREE, LEVEL = 3, 0.999, 0.05
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
    return holds(
        not lacks, f"{threats}; " + ("; ".join(lacks) if lacks else "knowledge and budget of each recorded")
    )


@check(19, "more than one loss")
def more_than_one_loss(ctx: EvidenceContext) -> Seen:
    """An attack on the cross-entropy and one on a margin both ran."""
    ran = [one for one in ctx.outcomes if not one.error]
    if not ran:
        return skipped("no outcomes were given")
    entropy = [
        one.attack for one in ran if one.settings.get("loss") == "ce" or one.attack.startswith(CROSS_ENTROPY)
    ]
    margins = [
        one.attack
        for one in ran
        if one.settings.get("loss") in ("margin", "dlr") or one.attack.startswith(MARGINS)
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


@check(22, "sample size")
def sample_size(ctx: EvidenceContext) -> Seen:
    """The Wilson interval of worst-case robust accuracy is no wider on either side than the policy's
    margin."""
    if ctx.margin is None or not ctx.outcomes:
        return skipped("no outcomes were given" if ctx.margin is not None else "no margin was given")
    worst = _worst(ctx.of_threat)
    low, high = wilson(sum(worst), len(worst))
    half = (high - low) / 2
    return holds(
        half <= ctx.margin,
        f"half-width {100 * half:.2f} points at n = {len(worst)}, margin {100 * ctx.margin:g}",
    )


@check(23, "paired claim")
def paired_claim(ctx: EvidenceContext) -> Seen:
    """ "Better" or "worse" than the parent is said only where exact McNemar on the same samples says so."""
    if ctx.parent_robust is None or not ctx.outcomes:
        return skipped("no outcomes of the parent on the same samples were given")
    fixed, broken = _discordant(ctx.parent_robust, _worst(ctx.of_threat))
    p = mcnemar(fixed, broken)
    seen = f"{fixed} samples gained, {broken} lost, exact McNemar p = {p:.3g}"
    if ctx.claim is None:
        return holds(True, seen + "; nothing claimed")
    wrong_way = (fixed <= broken) if ctx.claim == "better" else (fixed >= broken)
    return holds(p <= LEVEL and not wrong_way, seen + f"; claimed {ctx.claim}")


@check(24, "seeds")
def enough_seeds(ctx: EvidenceContext) -> Seen:
    """A claim about a strategy rests on three seeds or more."""
    if ctx.seeds is None:
        return skipped("no number of seeds was given: nothing may be claimed about a strategy")
    return holds(ctx.seeds >= SEEDS, f"{ctx.seeds} seeds, {SEEDS} needed for a claim about a strategy")


@check(26, "class floor")
def class_floor(ctx: EvidenceContext) -> Seen:
    """The worst class is shown, and its robust accuracy has not dropped by more than the margin.

    With few samples a class a drop is noise. So the check holds where no class drops by more than the margin,
    fails where one does beyond chance (Tango's interval at 5 % shared among the classes), and is left open in
    between.
    """
    if not ctx.outcomes:
        return skipped("no outcomes were given")
    labels, worst = ctx.y.tolist(), _worst(ctx.of_threat)
    sizes = Counter(labels)
    rates = {k: sum(w for w, y in zip(worst, labels, strict=True) if y == k) / n for k, n in sizes.items()}
    low = min(rates, key=lambda k: rates[k])
    seen = f"worst class {_name(ctx, low)}: robust {100 * rates[low]:.1f} % of {sizes[low]}"
    if ctx.parent_robust is None or ctx.margin is None:
        return skipped(seen + "; no parent or no margin to compare with")
    confidence = 1 - LEVEL / len(sizes)
    drops = {k: _drop(ctx.parent_robust, worst, labels, k, confidence) for k in sizes}
    k = max(drops, key=lambda k: drops[k][0])
    seen += f"; largest drop {100 * drops[k][0]:.1f} points ({_name(ctx, k)}), margin {100 * ctx.margin:g}"
    beyond = [_name(ctx, k) for k, (_, least) in drops.items() if least > ctx.margin]
    if beyond:
        return holds(False, seen + f"; beyond chance for {', '.join(beyond)}")
    if drops[k][0] > ctx.margin:
        return skipped(seen + f"; {sizes[k]} samples of it are too few to say")
    return holds(True, seen)


@check(27, "data hygiene", blocking=True)
def data_hygiene(ctx: EvidenceContext) -> Seen:
    """No sample that is reported on was used to score blocks or to fine-tune, by hash."""
    if ctx.sample_hashes is None or ctx.used_hashes is None:
        return skipped("no hashes of evaluation samples and of other uses were given")
    mine = set(ctx.sample_hashes)
    shared = {use: len(mine & set(hashes)) for use, hashes in ctx.used_hashes.items()}
    twice = len(ctx.sample_hashes) - len(mine)
    seen = ", ".join(
        f"{use}: {count} of {len(set(ctx.used_hashes[use]))} shared" for use, count in shared.items()
    )
    return holds(
        not any(shared.values()), f"{len(mine)} samples ({twice} repeated); {seen or 'no other use'}"
    )


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
    settings = {key: value for one in ctx.outcomes for key, value in one.settings.items()}
    known = {**settings, **ctx.provenance}
    lacks = [what for what, keys in RECORDED.items() if not any(known.get(key) for key in keys)]
    return holds(
        not lacks, f"not recorded: {', '.join(lacks)}" if lacks else f"recorded: {', '.join(RECORDED)}"
    )


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
        (letter == CLEAN_ERROR) != right or letter == FAILED
        for letter, right in zip(one.status, clean, strict=True)
    )


def _worst(outcomes: Sequence[Outcomes]) -> list[bool]:
    """Per sample: robust against every attack; one broken by an earlier attack has 'p' in the later ones."""
    return [all(letters) for letters in zip(*(one.robust for one in outcomes), strict=True)]


def _discordant(parent: Sequence[bool], child: Sequence[bool]) -> tuple[int, int]:
    """Return on how many samples the child alone, and the parent alone, is robust."""
    pairs = list(zip(parent, child, strict=True))
    return sum(new and not old for old, new in pairs), sum(old and not new for old, new in pairs)


def _drop(
    parent: Sequence[bool], child: Sequence[bool], labels: Sequence[int], k: int, confidence: float
) -> tuple[float, float]:
    """Return the drop of class k (a proportion) and its lower confidence bound."""
    rows = [i for i, label in enumerate(labels) if label == k]
    fixed, broken = _discordant([parent[i] for i in rows], [child[i] for i in rows])
    return (broken - fixed) / len(rows), -tango(fixed, broken, len(rows), confidence)[1]


def _name(ctx: EvidenceContext, k: int) -> str:
    return ctx.classes[k] if k < len(ctx.classes) else str(k)
