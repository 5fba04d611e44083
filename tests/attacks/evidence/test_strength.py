"""Checks that attack: on clean networks they hold, on attacks and networks broken on purpose they fail."""

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from small_nets import ATTACKS, EPS, ONE_LOSS, Around, Digits, bare_context, context, quantised
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks.autoattack import Square
from robustprune.attacks.evidence import SIZES, soundness, strength
from robustprune.attacks.evidence.trials import allowed, alone, newly_broken, survivors, watched_path
from robustprune.attacks.fgsm import FGSM
from robustprune.attacks.pgd import PGD
from robustprune.results import Outcomes

ALL = [
    soundness.budget_kept,
    strength.no_silent_success,
    strength.converged,
    strength.unbounded_wins,
    strength.sweep_falls,
    strength.iterative_beats_single,
    strength.more_effort,
    strength.beats_black_box,
    strength.noise_is_weaker,
    soundness.planted_found,
    soundness.batch_invariance,
]


@pytest.fixture(scope="module")
def clean(cnn: nn.Module, data: Digits):
    return context(cnn, data)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_clean_network_passes(check, clean):
    seen = check(clean)
    assert seen.status == "pass", seen.evidence


def outcome(status: str, distance: list[float], **more) -> Outcomes:
    given = {
        "attack": "PGD-20",
        "norm": "Linf",
        "eps": EPS,
        "settings": {},
        "steps": [1] * len(status),
        **more,
    }
    return Outcomes(status=status, distance=distance, **given)


@pytest.mark.parametrize("distance", [EPS + 2e-6, float("nan"), float("inf")])
def test_budget_exceeded_in_the_outcomes_fails_3(distance, linear, data):
    few = Digits(data.train_x, data.train_y, data.x[:3], data.y[:3])
    fine = outcome("brb", [EPS, float("nan"), EPS + 9e-7])
    assert soundness.budget_kept(bare_context(linear, few, outcomes=[fine])).status == "pass"
    over = outcome("brb", [EPS, float("nan"), distance])
    seen = soundness.budget_kept(bare_context(linear, few, outcomes=[fine, over]))
    assert (seen.number, seen.status, seen.blocking) == (3, "fail", True)
    assert soundness.budget_kept(bare_context(linear, few)).status == "skipped"


@pytest.mark.parametrize(
    "spoil",
    [lambda x: x + EPS * 1.01, lambda x: x * float("nan"), lambda x: x - EPS, lambda x: x + 1],
    ids=["beyond eps", "nan", "below 0", "above 1"],
)
def test_images_that_break_the_rules_fail_3(spoil, linear, data):
    given = {"attacks": [PGD(eps=EPS)], "outcomes": [outcome("r" * 100, [float("nan")] * 100)]}
    kept = bare_context(linear, data, adversarials=[(data.x + EPS).clamp(0, 1)], **given)
    assert soundness.budget_kept(kept).status == "pass"
    assert soundness.budget_kept(bare_context(linear, data, adversarials=[spoil(data.x)], **given)).status == "fail"


def test_l2_budget_is_measured_in_l2(linear, data):
    delta = torch.full_like(data.x, 0.5 / 8)
    images = torch.where(data.x > 0.5, data.x - delta, data.x + delta)
    given = {
        "outcomes": [outcome("r" * 100, [float("nan")] * 100, norm="L2", eps=0.5)],
        "adversarials": [images],
    }
    for eps, status in ((0.5, "pass"), (0.49, "fail")):
        seen = soundness.budget_kept(bare_context(linear, data, attacks=[PGD(eps=eps, norm="L2")], **given))
        assert seen.status == status


def test_an_adversarial_iterate_that_is_not_reported_fails_10(cnn, data):
    @dataclass(frozen=True, kw_only=True)
    class Forgetful(PGD):
        def run(self, target, x, y, seed):
            found = super().run(target, x, y, seed)
            found.success[:] = False
            return found

    ctx = bare_context(cnn, data, attacks=[Forgetful(eps=32 / 255, loss="margin")])
    seen = strength.no_silent_success(ctx)
    assert (seen.number, seen.status) == (10, "fail")


def test_an_attack_cut_short_fails_11_and_15(cnn, data):
    attacks = (PGD(eps=24 / 255, steps=20, alpha=0.2 / 255, random_start=False, loss="margin"),)
    ctx = context(cnn, data, attacks=attacks)
    assert strength.converged(ctx).status == "fail"
    ctx = replace(ctx, sizes=SIZES["standard"], memo={})
    assert strength.more_effort(ctx).status == "fail"


def test_watched_path_tells_samples_apart(clean):
    path = watched_path(clean)
    assert len(path.margins) == len(clean.chosen)
    for margins, met, letter in zip(path.margins, path.met, path.status, strict=True):
        if letter == "b":
            assert met
            assert float(margins[-1]) > 0
        if letter == "r":
            assert len(margins) > 1
            assert float(margins.max()) <= 0
        if letter == "e":
            assert len(margins) == 0


def test_masked_gradients_fail_12_16_and_18_or_15(cnn, data):
    ctx = context(Around(cnn, before=quantised), data)
    assert strength.unbounded_wins(ctx).blocking
    assert strength.unbounded_wins(ctx).status == "fail"
    assert strength.beats_black_box(ctx).status == "fail"


def test_saturated_cross_entropy_fails_12(cnn, data):
    ctx = context(Around(cnn, after=lambda z: 1e4 * z), data, attacks=ONE_LOSS)
    seen = strength.unbounded_wins(ctx)
    assert (seen.number, seen.status, seen.blocking) == (12, "fail", True)


def test_robustness_that_rises_with_eps_fails_13(linear, data):
    """A network that is fooled near a clean image, and knows the answer again further away."""

    class Alarm(Around):
        def forward(self, x: Tensor) -> Tensor:
            far, which = (x.flatten(1)[:, None] - data.x.flatten(1)[None]).abs().amax(2).min(1)
            sure = torch.where(far > 2.5 / 255, far.new_tensor(1.0), 1 - 255 * far)
            return sure[:, None] * F.one_hot(data.y[which], 10) + 0.1 * F.one_hot((data.y[which] + 1) % 10, 10)

    ctx = replace(bare_context(Alarm(linear), data), sizes=replace(SIZES["quick"], sweep=(0, 2, 16)))
    seen = strength.sweep_falls(ctx)
    assert (seen.number, seen.status, seen.blocking) == (13, "fail", True), seen.evidence


def test_random_network_differs_at_eps_0(cnn, data):
    net = Around(cnn, before=lambda x: F.dropout(x, 0.4, training=True))
    sizes = replace(SIZES["quick"], sweep=(0, 1))
    seen = {strength.sweep_falls(replace(bare_context(net, data), seed=s, sizes=sizes)).status for s in range(3)}
    assert "fail" in seen


def test_a_weaker_iterative_attack_fails_14(cnn, data):
    attack = PGD(eps=32 / 255, steps=1, alpha=0.1 / 255, random_start=False)
    seen = strength.iterative_beats_single(bare_context(cnn, data, attacks=[attack]))
    assert (seen.number, seen.status, seen.blocking) == (14, "fail", False)


def test_single_step_chain_fails_15_and_20(cnn, data):
    ctx = context(cnn, data, attacks=(FGSM(eps=40 / 255),))
    assert soundness.planted_found(ctx).status == "fail"
    tiny = (PGD(eps=40 / 255, steps=1, alpha=1 / 255, random_start=False),)
    ctx = context(cnn, data, attacks=tiny)
    ctx = replace(ctx, sizes=replace(ctx.sizes, longer=100), memo={})
    assert strength.more_effort(ctx).status == "fail"


def test_square_in_the_chain_is_evidence_enough(cnn, data):
    few = Digits(data.train_x, data.train_y, data.x[:20], data.y[:20])
    ctx = context(cnn, few, attacks=(PGD(eps=EPS), Square(eps=EPS, queries=20)))
    assert "Square, after the others" in strength.beats_black_box(ctx).evidence
    masked = context(Around(cnn, before=quantised), few, attacks=(PGD(eps=40 / 255), Square(eps=40 / 255, queries=50)))
    assert strength.beats_black_box(masked).status == "fail"


def test_transfer_needs_a_parent_and_is_weaker_on_clean_networks(cnn, linear, data):
    assert strength.beats_transfer(bare_context(cnn, data)).status == "skipped"
    assert strength.beats_transfer(bare_context(cnn, data, parent=linear)).status == "pass"


def test_transfer_stronger_than_the_white_box_fails_17(cnn, data):
    masked = Around(cnn, before=quantised)
    big = (PGD(eps=64 / 255, loss="margin"),)
    seen = strength.beats_transfer(bare_context(masked, data, attacks=big, parent=cnn))
    assert (seen.number, seen.status, seen.blocking) == (17, "fail", False), seen.evidence


def test_noise_stronger_than_pgd_fails_18(cnn, data):
    still = PGD(eps=64 / 255, steps=1, alpha=1e-6, random_start=False)
    seen = strength.noise_is_weaker(bare_context(cnn, data, attacks=[still]))
    assert (seen.number, seen.status, seen.blocking) == (18, "fail", True), seen.evidence


def test_batch_statistics_fail_25(cnn, data):
    class BatchStatistics(Around):
        def forward(self, x: Tensor) -> Tensor:
            return self.net((x - x.mean()) / x.std(unbiased=False).clamp(min=0.05))

    seen = soundness.batch_invariance(bare_context(BatchStatistics(copy.deepcopy(cnn)), data))
    assert (seen.number, seen.status) == (25, "fail"), seen.evidence


def test_survivors_are_those_of_the_whole_chain(clean):
    left, _ = survivors(clean)
    want = [i for i, j in enumerate(clean.chosen) if all(one.status[j] == "r" for one in clean.outcomes)]
    assert left == want


def test_nothing_left_is_nothing_to_break(linear, data):
    ctx = context(linear, data, attacks=(PGD(eps=1.0),))
    assert newly_broken(ctx, PGD(eps=1.0))[0] == 0


def test_each_attack_is_run_once(clean):
    memo = len(clean.memo)
    alone(clean, clean.reference)
    alone(clean, clean.reference)
    assert len(clean.memo) - memo <= 1


def test_one_sample_is_never_held_against_an_attack():
    assert allowed(32, 0.005) == 1
    assert allowed(2000, 0.005) == 10


def test_reference_is_the_dearest_pgd_of_the_threat_model(cnn, data):
    many = (*ATTACKS, PGD(eps=EPS, steps=50, restarts=3), PGD(eps=0.5, norm="L2", steps=5))
    ctx = bare_context(cnn, data, attacks=many)
    assert (ctx.reference.steps, ctx.reference.restarts) == (50, 1)
    assert bare_context(cnn, data).reference.loss == "margin"
    assert bare_context(cnn, data, attacks=(FGSM(eps=0.1),)).reference == PGD(eps=0.1, steps=20, retries=0)
