"""Is what is said of a network beside its parent covered? Checks 22 to 24 and 26."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.results.records import Outcomes
from robustprune.results.statistics import Paired, paired, wilson

RUNS, LEVEL = 3, 0.05
"""Training runs that a claim about a strategy needs, and the level of tests: intervals are at 1 - LEVEL."""


@check(22)
def sample_size(ctx: EvidenceContext) -> Seen:
    """Wilson's interval of worst-case robust accuracy is no wider on either side than the policy's margin."""
    if ctx.margin is None or not ctx.outcomes:
        return skipped("no outcomes were given" if ctx.margin is not None else "no margin was given")
    worst = _worst(ctx.of_threat)
    low, high = wilson(sum(worst), len(worst))
    half = (high - low) / 2
    return holds(
        half <= ctx.margin,
        f"half-width {100 * half:.2f} points at n = {len(worst)}, margin {100 * ctx.margin:g}",
    )


@check(23)
def paired_claim(ctx: EvidenceContext) -> Seen:
    """Where the interval of (network - parent) says "better" or "worse", exact McNemar on the samples says so too.

    The interval is the one that the tables show: Tango's, at 95 %, of worst-case robust accuracy. It is a little
    bolder than the exact test, which keeps its level with any number of samples that differ.
    """
    if ctx.parent_robust is None or not ctx.outcomes:
        return skipped("no outcomes of the parent on the same samples were given")
    pair = paired(ctx.parent_robust, _worst(ctx.of_threat), 1 - LEVEL)
    claim = _claim(pair)
    seen = f"{pair.fixed} samples gained, {pair.broken} lost, exact McNemar p = {pair.p:.3g}"
    if claim is None:
        return holds(True, seen + "; nothing claimed")
    return holds(pair.p <= LEVEL, seen + f"; claimed {claim}")


@check(24)
def enough_runs(ctx: EvidenceContext) -> Seen:
    """A claim about a strategy rests on three training runs or more."""
    if ctx.runs is None:
        return skipped("no number of training runs was given: nothing may be claimed about a strategy")
    return holds(ctx.runs >= RUNS, f"{ctx.runs} training runs, {RUNS} needed for a claim about a strategy")


@check(26)
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


def _claim(pair: Paired) -> str | None:
    """Return what an interval that leaves 0 out says of the network beside its parent."""
    if pair.low > 0:
        return "better"
    return "worse" if pair.high < 0 else None


def _drop(
    parent: Sequence[bool], child: Sequence[bool], labels: Sequence[int], k: int, confidence: float
) -> tuple[float, float]:
    """Return by how much class k dropped from parent to child (a proportion), and the lower bound of that."""
    rows = [i for i, label in enumerate(labels) if label == k]
    pair = paired([child[i] for i in rows], [parent[i] for i in rows], confidence)
    return pair.difference, pair.low


def _name(ctx: EvidenceContext, k: int) -> str:
    return ctx.classes[k] if k < len(ctx.classes) else str(k)
