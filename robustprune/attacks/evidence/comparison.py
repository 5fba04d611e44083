"""Is what is said of a network beside its parent covered? Checks 22 to 24 and 26."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from robustprune.attacks.evidence.context import EvidenceContext
from robustprune.attacks.evidence.registry import Seen, check, holds, skipped
from robustprune.results import Outcomes
from robustprune.statistics import mcnemar, tango, wilson

SEEDS, LEVEL = 3, 0.05


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
