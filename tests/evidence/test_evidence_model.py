"""Every way to break a network that checks 2 and 4 to 9 are there for."""

import copy
import sys

import pytest
import torch
from small_nets import (
    ATTACKS,
    ONE_LOSS,
    Around,
    Digits,
    FalseGradient,
    Purifier,
    bare_context,
    context,
    quantised,
    saturated,
)
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks.algorithms.autoattack import APGD, Square
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.evidence import gradients as gradient_checks
from robustprune.evidence import network as checks
from robustprune.evidence.probes import counting_autograd, gradients, logits_of
from robustprune.models.checkpoints import weights_hash
from robustprune.models.normalize import Normalized

ALL = [
    checks.input_domain,
    checks.eval_mode,
    checks.deterministic,
    checks.logits_not_probabilities,
    checks.no_optimisation,
    gradient_checks.gradients_exist,
    gradient_checks.smooth_loss,
]


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_clean_networks_pass(check, cnn: nn.Module, linear: nn.Module, data: Digits):
    for net in (cnn, linear):
        seen = check(bare_context(net, data))
        assert seen.status == "pass", seen.evidence
        assert "\n" not in seen.evidence


def test_images_that_are_already_normalised_fail_2(cnn, data):
    normal = Digits(data.train_x, data.train_y, (data.x - 0.5) / 0.25, data.y)
    seen = checks.input_domain(bare_context(cnn, normal))
    assert (seen.number, seen.status, seen.blocking) == (2, "fail", True)
    assert "normalisation belongs in the model" in seen.evidence


def test_wrapped_and_bare_model_must_agree_for_2(cnn, data):
    wrapped = Normalized(cnn, [0.4], [0.6]).eval()
    seen = checks.input_domain(bare_context(wrapped, data))
    assert (seen.status, seen.blocking) == ("pass", True)
    assert "bare model on normalised input agrees on 32 of 32" in seen.evidence


def test_normalising_after_something_else_or_twice_fails_2(cnn, data):
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Normalized(cnn, [0.4], [0.6])

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(1 - x)

    assert checks.input_domain(bare_context(Late().eval(), data)).status == "fail"
    twice = Normalized(Normalized(cnn, [0.0], [1.0]), [0.0], [1.0]).eval()
    assert "more than once" in checks.input_domain(bare_context(twice, data)).evidence


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.Dropout])
def test_training_mode_that_matters_blocks_4(kind, cnn, data):
    net = nn.Sequential(nn.Dropout(0.5), *copy.deepcopy(cnn)).eval()
    before = weights_hash(net)
    next(module for module in net if isinstance(module, kind)).train()
    seen = checks.eval_mode(bare_context(net, data))
    assert (seen.number, seen.status, seen.blocking) == (4, "fail", True)
    assert weights_hash(net) == before


def test_training_flag_without_effect_does_not_block_4(linear, data):
    seen = checks.eval_mode(bare_context(copy.deepcopy(linear).train(), data))
    assert (seen.status, seen.blocking) == ("fail", False)


def test_changed_weights_or_buffers_fail_4(cnn, data):
    net = copy.deepcopy(cnn)
    before = weights_hash(net)
    assert checks.eval_mode(bare_context(net, data, weights_before=before)).status == "pass"
    with torch.no_grad():
        net[1].running_mean += 1e-6
    assert checks.eval_mode(bare_context(net, data, weights_before=before)).status == "fail"

    class Drifting(Around):
        def __init__(self, inner):
            super().__init__(inner)
            self.register_buffer("seen", torch.zeros(()))
            self.eval()

        def forward(self, x: Tensor) -> Tensor:
            self.seen += 1
            return self.net(x)

    assert checks.eval_mode(bare_context(Drifting(cnn), data)).status == "fail"


def test_random_network_needs_eot_for_5(cnn, data):
    net = Around(cnn, before=lambda x: F.dropout(x, 0.2, training=True))
    seen = checks.deterministic(bare_context(net, data))
    assert (seen.number, seen.status, seen.blocking) == (5, "fail", True)
    assert "EOT is required" in seen.evidence
    few = Digits(data.train_x, data.train_y, data.x[:8], data.y[:8])
    with_eot = context(net, few, attacks=(APGD(eps=0.05, steps=3, eot=4), PGD(eps=0.05, steps=3, eot=4)))
    assert checks.deterministic(with_eot).status == "pass"
    one_without = context(net, few, attacks=(APGD(eps=0.05, steps=3, eot=4), PGD(eps=0.05, steps=3)))
    assert "use eot=20: PGD-3 ran without" in checks.deterministic(one_without).evidence
    hasty = evaluate(net, few.x, few.y, [PGD(eps=0.05, steps=3, eot=4)], fresh=1)
    seen = checks.deterministic(bare_context(net, few, outcomes=hasty.outcomes))
    assert (seen.status, seen.blocking) == ("fail", True)
    assert "use fresh=21: not so PGD-3 eot4" in seen.evidence


@pytest.mark.parametrize("period", [2, 5, 1000])
def test_no_eot_excuses_a_network_that_keeps_a_state_from_5(period, linear, data):
    """Its counter is no buffer, so check 4 cannot see it; seen as random, it would be averaged away."""

    class Counting(Around):
        passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            return self.net(x) + self.passes % period

    net = Counting(linear)
    ctx = context(net, data, attacks=(PGD(eps=0.05, steps=2, eot=4),))
    assert ctx.outcomes[0].notes["fresh passes"] == 21
    seen = checks.deterministic(ctx)
    assert (seen.number, seen.status, seen.blocking) == (5, "fail", True)
    assert "keeps a state" in seen.evidence


@pytest.fixture(scope="module")
def averaged(random_net, data):
    """Attacked properly, and normalised inside, so that check 2 has two networks to compare."""
    net = Normalized(random_net, [0.1], [1.2]).eval()
    return context(net, data, attacks=(PGD(eps=0.02, steps=3, eot=20),))


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_random_network_that_is_attacked_properly_passes(check, averaged):
    seen = check(averaged)
    assert seen.status == "pass", seen.evidence


def test_looking_at_a_random_network_draws_nothing_of_ours(random_net, data):
    before = torch.get_rng_state()
    lines = [[check(bare_context(random_net, data)).evidence for check in ALL] for _ in range(2)]
    assert lines[0] == lines[1]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("head", [lambda z: z.softmax(1), lambda z: z.sigmoid() / z.sigmoid().sum(1, keepdim=True)])
def test_probabilities_fail_6(head, cnn, data):
    seen = checks.logits_not_probabilities(bare_context(Around(cnn, after=head), data))
    assert (seen.number, seen.status, seen.blocking) == (6, "fail", True)


def test_log_probabilities_are_logits(cnn, data):
    assert (
        checks.logits_not_probabilities(bare_context(Around(cnn, after=lambda z: z.log_softmax(1)), data)).status
        == "pass"
    )


@pytest.mark.parametrize("how", ["grad", "backward", "autograd.backward"])
def test_optimisation_inside_forward_fails_7(how, cnn, data):
    seen = checks.no_optimisation(bare_context(Purifier(cnn, how), data))
    assert (seen.number, seen.status, seen.blocking) == (7, "fail", True)


def test_profiling_hook_is_put_back():
    def mine(*args):
        return None

    before = sys.getprofile()
    sys.setprofile(mine)
    try:
        with counting_autograd() as called:
            pass
        assert sys.getprofile() is mine
    finally:
        sys.setprofile(before)
    assert called == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, saturated), (quantised, None), (FalseGradient.apply, None), (lambda x: x.detach(), None)],
    ids=["saturated", "quantised", "false gradient", "detached"],
)
def test_missing_and_false_gradients_block_8(before, after, cnn, data):
    seen = gradient_checks.gradients_exist(bare_context(Around(cnn, before, after), data))
    assert (seen.number, seen.status, seen.blocking) == (8, "fail", True), seen.evidence


def test_forward_without_gradients_blocks_8(cnn, data):
    class Detached(Around):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.net(x)

    seen = gradient_checks.gradients_exist(bare_context(Detached(cnn), data))
    assert (seen.status, seen.blocking) == ("fail", True)
    assert "autograd graph" in seen.evidence


def test_vanishing_cross_entropy_is_excused_by_a_margin_loss(cnn, data):
    """logits * 1e4: the cross-entropy underflows, the margin does not."""
    net = Around(cnn, after=lambda z: 1e4 * z)
    assert gradient_checks.gradients_exist(context(net, data, attacks=ATTACKS)).status == "pass"
    seen = gradient_checks.gradients_exist(context(net, data, attacks=ONE_LOSS))
    assert (seen.status, seen.blocking) == ("fail", True)
    assert "cross-entropy alone" in seen.evidence


@pytest.mark.parametrize("masked", [quantised, FalseGradient.apply], ids=["none", "false"])
def test_an_attack_by_queries_excuses_no_missing_gradients(masked, cnn, data):
    """The quick and the standard tier say the same."""
    few = Digits(data.train_x, data.train_y, data.x[:20], data.y[:20])
    ctx = context(Around(cnn, masked), few, attacks=(PGD(eps=0.05, steps=3), Square(eps=0.05, queries=20)))
    assert not ctx.outcomes[1].error
    seen = gradient_checks.gradients_exist(ctx)
    assert (seen.status, seen.blocking) == ("fail", True), seen.evidence


@pytest.mark.parametrize("notices", [lambda x: torch.is_grad_enabled(), lambda x: x.requires_grad])
def test_other_logits_where_gradients_are_recorded_block_5(notices, cnn, random_net, data):
    class TwoFaced(Around):
        def forward(self, x: Tensor) -> Tensor:
            return -self.net(x) if notices(x) else self.net(x)

    for net in (cnn, random_net):
        seen = checks.deterministic(bare_context(TwoFaced(net), data))
        assert (seen.number, seen.status, seen.blocking) == (5, "fail", True)
        assert "with and without recorded gradients" in seen.evidence


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_a_network_that_normalises_in_place_is_looked_at_as_its_twin_is(check, cnn, data):
    images = data.x.clone()
    ours, twin = (
        check(bare_context(Around(cnn, before=before), Digits(images, data.y, images, data.y)))
        for before in (lambda x: x.sub_(0.1).div_(1.2), lambda x: (x - 0.1) / 1.2)
    )
    assert ours == twin
    assert torch.equal(images, data.x)


def test_a_few_missing_gradients_do_not_block_8(cnn, data):
    """One image in the subset of 32 on which the network is flat: weakens, does not block."""
    flat = data.x[bare_context(cnn, data).chosen[0]]

    def pick(x: Tensor) -> Tensor:
        same = (x - flat).abs().amax((1, 2, 3)) < 0.01
        return torch.where(same.view(-1, 1, 1, 1), x.detach(), x)

    seen = gradient_checks.gradients_exist(bare_context(Around(cnn, pick), data))
    assert (seen.status, seen.blocking) == ("fail", False), seen.evidence
    assert "1 of" in seen.evidence


def test_rough_loss_fails_9(cnn, data):
    rough = Around(cnn, before=lambda x: (x + 0.3 * torch.sin(2000 * x)).clamp(0, 1))
    seen = gradient_checks.smooth_loss(bare_context(rough, data))
    assert (seen.number, seen.status, seen.blocking) == (9, "fail", False)


def test_gradients_equal_finite_differences(linear, data):
    x, y = data.x[:3].double(), data.y[:3]
    net = copy.deepcopy(linear).double()
    found = gradients(net, x, y, "margin")
    step = 1e-6
    for i in range(3):
        for place in (9, 27, 40):
            nudge = torch.zeros(64, dtype=torch.float64)
            nudge[place] = step
            with torch.no_grad():
                up, down = (net(x[i : i + 1] + s * nudge.view(1, 1, 8, 8))[0] for s in (1, -1))
            lead = [max(z[j] for j in range(10) if j != y[i]) - z[y[i]] for z in (up, down)]
            assert float(found.grad[i].flatten()[place]) == pytest.approx(
                float(lead[0] - lead[1]) / (2 * step), rel=1e-4, abs=1e-6
            )


def test_looking_leaves_the_network_as_it_was(cnn, data):
    net = copy.deepcopy(cnn).train()
    net[1].eval()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    flags, before = [m.training for m in net.modules()], weights_hash(net)
    gradients(net, data.x[:8], data.y[:8])
    logits_of(net, data.x[:8])
    checks.eval_mode(bare_context(net, data))
    assert [m.training for m in net.modules()] == flags
    assert weights_hash(net) == before
    assert all(p.requires_grad and bool((p.grad == 1).all()) for p in net.parameters())
