"""Checks 15 and 16: what a stronger attack does to survivors drawn at random."""

from dataclasses import replace
from math import inf

import pytest
from small_nets import ATTACKS, EPS, Around, Digits, bare_context, context, quantised, shortened
from torch import nn

from robustprune.attacks.algorithms.autoattack import APGD, Square, parts
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.tiers import passes
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.evidence import SIZES, EvidenceContext, distance
from robustprune.evidence.stronger import first_stage, newly_broken, stronger, survivors
from robustprune.results.overstated import Overstated
from robustprune.results.records import BROKEN, ROBUST

WEAK = (PGD(eps=40 / 255, steps=1, alpha=1 / 255, random_start=False),)


def paid(ctx: EvidenceContext, survivors: float) -> EvidenceContext:
    """The same context, with enough to spend for so many survivors."""
    chain = sum(one.forwards / 3 + one.backwards * 2 / 3 for one in ctx.of_threat)
    cost = passes(parts(*ctx.threat))
    return ctx.resized(replace(SIZES["quick"], beside=survivors * cost / chain))


@pytest.fixture(scope="module")
def few(data: Digits) -> Digits:
    return Digits(data.train_x, data.train_y, data.x[:40], data.y[:40])


@pytest.fixture(scope="module")
def weak(cnn: nn.Module, few: Digits) -> EvidenceContext:
    """Evidence of an attack of one small step."""
    return context(cnn, few, attacks=WEAK)


def test_survivors_are_those_of_the_whole_chain_in_an_order_that_stays(cnn, linear, data):
    ctx = context(cnn, data)
    drawn = survivors(ctx)
    left = [i for i in range(len(data.x)) if all(one.status[i] == ROBUST for one in ctx.outcomes)]
    assert sorted(drawn.order) == left
    assert drawn.order != left
    assert (drawn.n, drawn.after) == (100, "all attacks")
    assert survivors(replace(ctx, memo={})) == drawn
    other = survivors(replace(ctx, model=linear, memo={}))
    assert sorted(other.order) == left
    assert other.order != drawn.order
    assert other.draw != drawn.draw


def test_without_outcomes_the_reference_stands_in_on_the_subset(cnn, data):
    ctx = bare_context(cnn, data)
    drawn = survivors(ctx)
    assert set(drawn.order) < set(ctx.chosen)
    assert (drawn.n, drawn.after) == (32, "PGD-20 margin")
    assert distance.distance_bounded(ctx).status == "skipped"
    assert distance.beats_black_box(ctx).status == "pass"


def test_the_set_costs_no_more_than_the_chain(cnn, data):
    ctx = context(cnn, data)
    attacks = parts(*ctx.threat)
    chain = sum(one.forwards / 3 + one.backwards * 2 / 3 for one in ctx.outcomes)
    assert chain < passes(attacks)
    assert first_stage(ctx, attacks, 70) == 0
    assert first_stage(paid(ctx, 7.5), attacks, 70) == 7
    assert first_stage(paid(ctx, 7.5), attacks, 5) == 5
    assert first_stage(ctx.resized(SIZES["standard"]), attacks, 70) == 70
    assert stronger(ctx).found.text.startswith("not bounded: AutoAttack attacked none of ")


def test_nothing_is_spent_where_no_bound_within_the_margin_could_come_of_it(cnn, data):
    """Of 70 survivors of 100, 7 unbroken bound the share by 34.8 %, that is 24.4 points, 21 of three runs by 9.3."""
    ctx = replace(paid(context(cnn, data), 7.5), memo={})
    attacks = parts(*ctx.threat)
    assert [first_stage(replace(ctx, margin=margin), attacks, 70) for margin in (None, 0.25, 0.24)] == [7, 7, 0]
    assert [first_stage(replace(ctx, margin=margin, pooled=3), attacks, 70) for margin in (0.1, 0.09)] == [7, 0]


def test_a_weak_attack_is_extended_and_fails_15(weak):
    ctx = paid(weak, 3.5)
    seen = distance.distance_bounded(ctx)
    found = Overstated(**seen.figures)
    assert (seen.number, seen.status, seen.blocking) == (15, "fail", False), seen.evidence
    assert (found.first, found.attacked) == (3, 12)
    assert found.first_broken >= 1
    assert seen.evidence == found.text
    assert distance.distance_bounded(replace(ctx, memo={})) == seen


def test_a_bound_beyond_the_margin_fails_15_even_where_nothing_was_found(weak):
    seen = distance.distance_bounded(replace(weak, margin=0.02))
    assert seen.status == "fail"
    assert Overstated(**seen.figures).attacked == 0
    assert distance.distance_bounded(replace(weak, margin=0.99)).status == "pass"
    assert distance.distance_bounded(weak).status == "pass"


def test_all_survivors_are_settled_exactly_from_tier_standard_on(cnn, few, short_set):
    """The count is that of the set run by hand behind the chain."""
    five = Digits(few.train_x, few.train_y, few.x[:5], few.y[:5])
    ctx = context(cnn, five, attacks=WEAK).resized(SIZES["standard"])
    whole = evaluate(cnn, five.x, five.y, [*WEAK, *shortened("Linf", 40 / 255)]).outcomes
    more = sum(one.status.count(BROKEN) for one in whole[1:])
    found = stronger(ctx).found
    assert (found.exact, found.broken, found.bound) == (True, more, more / 5)
    assert distance.distance_bounded(ctx).status == "fail"


def test_what_the_chain_has_run_is_not_run_again(cnn, few, short_set, monkeypatch):
    six = Digits(few.train_x, few.train_y, few.x[:6], few.y[:6])
    ctx = context(cnn, six, attacks=shortened("Linf", EPS))
    ran = []
    monkeypatch.setattr("robustprune.evidence.stronger.outcomes_of", lambda *given: ran.append(given[3]) or [])
    found = stronger(ctx).found
    assert (found.exact, found.broken, ran) == (True, 0, [])
    partly = replace(ctx, outcomes=ctx.outcomes[:1], memo={}).resized(replace(SIZES["quick"], beside=inf))
    stronger(partly)
    assert [attack.name for attack in ran[0]] == ["APGD-T", "FAB-T", "Square-300"]
    other = [replace(one, settings={**one.settings, "restarts": 7}) for one in ctx.outcomes[:1]]
    stronger(replace(partly, outcomes=other, memo={}))
    assert isinstance(ran[1][0], APGD)


def test_under_l1_a_longer_run_of_the_reference_stands_in(cnn, few):
    attacks = (PGD(eps=4.0, norm="L1", steps=2),)
    ctx = context(cnn, few, attacks=attacks).resized(SIZES["standard"])
    found = stronger(ctx).found
    assert found.beside == "PGD-20 x5"
    assert found.text.endswith(f"points above PGD-20 x5's: all {found.survivors} survivors attacked")
    assert distance.beats_black_box(ctx).status == "skipped"


@pytest.mark.parametrize("tier", ["quick", "standard"])
def test_masked_gradients_fail_16(tier, cnn, few, data):
    """Square is given as many survivors as the tier has samples, whatever the chain pays for."""
    masked = Around(cnn, before=quantised)
    sizes = replace(SIZES[tier], beside=1.0, queries=300)
    ctx = context(masked, data).resized(sizes)
    seen = distance.beats_black_box(ctx)
    assert (seen.number, seen.status, seen.blocking) == (16, "fail", True), seen.evidence
    assert f" of {sizes.samples} of the " in seen.evidence


def test_what_square_breaks_behind_the_gradients_fails_16_too(cnn, few, short_set):
    """With a first look at one survivor, which is never held against an attack, only the set itself can tell."""
    sizes = replace(SIZES["standard"], samples=1, queries=1)
    seen = distance.beats_black_box(context(Around(cnn, before=quantised), few).resized(sizes))
    assert seen.status == "fail", seen.evidence
    assert " of 1 of the " in seen.evidence


def test_square_in_the_chain_is_evidence_enough(cnn, data):
    small = Digits(data.train_x, data.train_y, data.x[:20], data.y[:20])
    ctx = context(cnn, small, attacks=(PGD(eps=EPS), Square(eps=EPS, queries=20)))
    assert distance.beats_black_box(ctx).evidence.startswith("Square-20, after the others, breaks")
    big = (PGD(eps=40 / 255), Square(eps=40 / 255, queries=50))
    assert distance.beats_black_box(context(Around(cnn, before=quantised), small, attacks=big)).status == "fail"


def test_labels_alone_are_not_evidence_enough(weak):
    """An attack that saw labels, and broke nothing behind the others, leaves Square its turn."""
    labels = replace(weak.outcomes[0], knowledge="labels by query", status=weak.outcomes[0].status.replace("b", "p"))
    seen = distance.beats_black_box(replace(weak, outcomes=[*weak.outcomes, labels], memo={}))
    assert seen.evidence.startswith("Square-100 breaks ")
    hits = replace(labels, status=labels.status.replace("r", "b"))
    seen = distance.beats_black_box(replace(weak, outcomes=[*weak.outcomes, hits], memo={}))
    assert (seen.status, " after the others, breaks " in seen.evidence) == ("fail", True)


def test_nothing_left_is_nothing_to_break(linear, data):
    ctx = context(linear, data, attacks=(PGD(eps=1.0),))
    assert newly_broken(ctx, PGD(eps=1.0), 10) == (0, 0)
    assert distance.beats_black_box(ctx).evidence == "nothing of 100 resists all attacks"
    assert distance.distance_bounded(ctx).evidence == "0.0 points above AutoAttack's: nothing survived"


def test_an_attack_that_falls_over_is_no_evidence(cnn, few, short_set):
    class Refusing(Around):
        def forward(self, x):
            if x.requires_grad:
                raise RuntimeError("no gradients here")
            return self.net(x)

    ctx = context(cnn, few, attacks=(FGSM(eps=EPS), *ATTACKS[1:]))
    seen = distance.distance_bounded(paid(replace(ctx, model=Refusing(cnn)), 2))
    assert seen.status == "fail"
    assert seen.evidence.startswith("could not be carried out: ")
    assert seen.figures == {}
