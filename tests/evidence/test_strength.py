"""Checks that attack: on clean networks they hold, on attacks and networks broken on purpose they fail."""

import copy
from dataclasses import replace

import pytest
import torch
from small_nets import ATTACKS, EPS, ONE_LOSS, Around, Digits, bare_context, context, quantised
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.evidence import SIZES, distance, soundness, strength
from robustprune.evidence.stronger import newly_broken
from robustprune.evidence.trials import allowed, alone, watched_path
from robustprune.results.records import Outcomes

ALL = [
    soundness.budget_kept,
    strength.no_silent_success,
    strength.converged,
    strength.unbounded_wins,
    strength.sweep_falls,
    strength.iterative_beats_single,
    distance.distance_bounded,
    distance.beats_black_box,
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


def test_an_adversarial_iterate_that_is_not_reported_fails_10(cnn, data):
    """A network that errs while gradients are taken of it, and knows better when it is judged."""

    class TwoFaced(Around):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).roll(1, 1) if x.requires_grad else self.net(x)

    ctx = bare_context(TwoFaced(cnn), data, attacks=[PGD(eps=1 / 255, steps=3)])
    seen = strength.no_silent_success(ctx)
    assert (seen.number, seen.status) == (10, "fail")


def test_an_attack_cut_short_fails_11(cnn, data):
    attacks = (PGD(eps=24 / 255, steps=20, alpha=0.2 / 255, random_start=False, loss="margin"),)
    ctx = context(cnn, data, attacks=attacks)
    assert strength.converged(ctx).status == "fail"


def test_watched_path_tells_samples_apart(clean):
    path = watched_path(clean)
    assert len(path.margins) == len(clean.chosen)
    assert set(path.status) == {"b", "r", "e"}
    for margins, met, letter in zip(path.margins, path.met, path.status, strict=True):
        if letter == "b":
            assert met
            assert float(margins[-1]) > 0
        if letter == "r":
            assert len(margins) > 1
            assert float(margins.max()) <= 0
        if letter == "e":
            assert len(margins) == 0


def test_noise_on_a_path_is_no_late_movement():
    """Around a level the running minimum falls by noise alone; the drift stays near 0 on average, and sees a slope."""
    generator = torch.Generator().manual_seed(0)
    noisy = torch.cat((torch.linspace(4, 1, 10), torch.ones(10))) + 0.3 * torch.randn(200, 20, generator=generator)
    drifts = torch.tensor([strength.late_drift(one, 20) for one in noisy])
    assert abs(float(drifts.mean())) < 0.02
    assert sum(strength.late_movement(one, 20) for one in noisy) / 200 > strength.MOVES
    falling = noisy + torch.cat((torch.zeros(10), torch.linspace(0, -1, 10)))
    assert sum(strength.late_drift(one, 20) for one in falling) / 200 > strength.MOVES


def test_a_random_network_converges_and_hides_nothing(random_net, data):
    attacks = (PGD(eps=EPS, steps=20, loss="margin", eot=20),)
    few = Digits(data.train_x, data.train_y, data.x[:16], data.y[:16])
    ctx = bare_context(random_net, few, attacks=attacks)
    for check in (strength.no_silent_success, strength.converged):
        seen = check(ctx)
        assert seen.status == "pass", seen.evidence


def test_masked_gradients_fail_12(cnn, data):
    seen = strength.unbounded_wins(context(Around(cnn, before=quantised), data).resized(SIZES["standard"]))
    assert (seen.status, seen.blocking) == ("fail", True), seen.evidence


def test_single_step_chain_fails_20(cnn, data):
    assert soundness.planted_found(context(cnn, data, attacks=(FGSM(eps=40 / 255),))).status == "fail"


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


def test_at_eps_0_robust_accuracy_is_clean_accuracy_or_13_fails(cnn, data):
    """A network that is wrong while it is attacked at eps 0, and right again afterwards."""
    shift = [1]
    net = Around(cnn, after=lambda z: z.roll(shift[0], 1))
    ctx = replace(bare_context(net, data), sizes=replace(SIZES["quick"], sweep=(0, 255)))
    asleep = sum(alone(ctx, ctx.reference.change(eps=0.0)))
    assert asleep < 5
    shift[0] = 0
    seen = strength.sweep_falls(ctx)
    assert (seen.number, seen.status) == (13, "fail"), seen.evidence
    with torch.no_grad():
        right = int((net(ctx.few[0]).argmax(1) == ctx.few[1]).sum())
    assert seen.evidence.endswith(f": 0: {asleep}, 255: 0; clean {right}")
    assert right > 5


def test_a_weaker_iterative_attack_fails_14(cnn, data):
    attack = PGD(eps=32 / 255, steps=1, alpha=0.1 / 255, random_start=False)
    seen = strength.iterative_beats_single(bare_context(cnn, data, attacks=[attack]))
    assert (seen.number, seen.status, seen.blocking) == (14, "fail", False)


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
    assert (seen.number, seen.status, seen.blocking) == (25, "fail", True), seen.evidence


def test_logits_that_depend_on_the_batch_block_25_although_no_prediction_changes(cnn, data):
    """Half of every logit in a batch of one: the largest stays the largest."""
    net = Around(cnn, after=lambda z: z * (0.5 if len(z) == 1 else 1.0))
    seen = soundness.batch_invariance(bare_context(net, data))
    assert (seen.status, seen.blocking) == ("fail", True), seen.evidence
    assert "predictions differ on 0 of" in seen.evidence


@pytest.mark.parametrize(
    "trial",
    [
        lambda ctx: alone(ctx, ctx.reference),
        lambda ctx: newly_broken(ctx, ctx.reference.change(steps=5), 20),
        lambda ctx: watched_path(ctx).status,
    ],
    ids=["alone", "newly broken", "watched"],
)
def test_no_trial_is_made_twice(trial, cnn, data):
    class Counting(Around):
        passes = 0

        def forward(self, x: Tensor) -> Tensor:
            Counting.passes += 1
            return self.net(x)

    ctx = bare_context(Counting(cnn), data, attacks=(PGD(eps=EPS, steps=3),))
    first, spent = trial(ctx), Counting.passes
    assert spent > 0
    assert trial(ctx) == first
    assert Counting.passes == spent
    trial(replace(ctx, memo={}))
    assert Counting.passes > spent


def test_other_attacks_are_not_taken_for_the_one_that_was_tried(cnn, data):
    ctx = bare_context(cnn, data)
    assert sum(alone(ctx, PGD(eps=0.0))) > sum(alone(ctx, PGD(eps=64 / 255)))


def test_one_sample_is_never_held_against_an_attack():
    assert allowed(32, 0.005) == 1
    assert allowed(2000, 0.005) == 10


def test_reference_is_the_dearest_pgd_of_the_threat_model(cnn, data):
    many = (*ATTACKS, PGD(eps=EPS, steps=50, restarts=3), PGD(eps=0.5, norm="L2", steps=5))
    ctx = bare_context(cnn, data, attacks=many)
    assert (ctx.reference.steps, ctx.reference.restarts) == (50, 1)
    assert bare_context(cnn, data).reference.loss == "margin"
    assert bare_context(cnn, data, attacks=(FGSM(eps=0.1),)).reference == PGD(eps=0.1, steps=20, retries=0)
