"""FGSM-RS, TRADES, RSLAD and AWP against formulas written anew, and linear networks where the answer is known."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from tiny_trainings import blobs, recipe, small, weights
from torch import nn

from robustprune.errors import InputError
from robustprune.finetune import Adversarial, finetune
from robustprune.finetune.awp import perturbed
from robustprune.finetune.losses import attacked, batch_loss, prepared


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def divergence(p, q):
    """Mean over rows of sum p log(p / q), from probabilities."""
    return float((p * (p / q).log()).sum(1).mean())


def entropy(p, y):
    return float(-p[torch.arange(len(y)), y].log().mean())


def probabilities(model, x):
    with torch.no_grad():
        return model(x).double().softmax(1)


def linear():
    """Logits (w.x, 0) of 1 x 8 x 8 images, and w."""
    weight = torch.randn(64, generator=generator())
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    model[1].weight.data = torch.stack([weight, torch.zeros(64)])
    return model, weight


def test_fgsm_rs_is_one_step_of_five_quarters_of_eps_and_ends_in_the_ball():
    """On a linear network the step is known: 1.25 eps from the start, cut off at the ball and at [0, 1]."""
    model, weight = linear()
    x = torch.rand(5, 1, 8, 8, generator=generator(1))
    settings = Adversarial.fgsm_rs(eps=0.1)
    found = attacked(model, x, torch.zeros(5, dtype=torch.int64), settings, generator(2))
    start = (x + 0.1 * (torch.rand(x.shape, generator=generator(2)) * 2 - 1)).clamp(0, 1)
    expected = (start - 0.125 * weight.sign().reshape(1, 8, 8)).clamp(x - 0.1, x + 0.1).clamp(0, 1)
    assert torch.allclose(found, expected)
    assert float((found - x).abs().max()) <= 0.1 + 1e-6
    assert len({round(float(value), 3) for value in (found - x).flatten()}) > 10  # not only corners: it began inside


@pytest.mark.parametrize("beta", [0.5, 6.0])
def test_the_loss_of_trades_is_the_clean_one_and_beta_times_the_divergence(beta):
    data, model = blobs(12), small().eval()
    settings = recipe(adversarial=Adversarial.trades(eps=0.1, beta=beta, steps=3))
    batch = prepared(model, data.x, data.y, settings, None, generator())
    loss, logits = batch_loss(model, batch, settings)
    clean, moved = probabilities(model, data.x), probabilities(model, batch.images["attacked"])
    assert float(loss.detach()) == pytest.approx(entropy(clean, data.y) + beta * divergence(clean, moved), rel=1e-5)
    assert torch.allclose(logits.detach().softmax(1).double(), moved, atol=1e-6)


def test_the_loss_of_trades_moves_the_network_by_what_it_says_of_both_images():
    """Its gradient is that of finite differences: it flows through the clean outputs as well as through the others."""
    data, model = blobs(6), small(norm=False).double().eval()
    settings = recipe(adversarial=Adversarial.trades(eps=0.1, beta=3.0, steps=1))
    batch = prepared(model, data.x.double(), data.y, settings, None, generator())
    loss, _ = batch_loss(model, batch, settings)
    (slope,) = torch.autograd.grad(loss, model[-1].bias)
    for place in range(3):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                model[-1].bias[place] += step
                values.append(float(batch_loss(model, batch, settings)[0]))
                model[-1].bias[place] -= step
        assert float(slope[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("against", ["outputs", "teacher"])
def test_an_attack_on_outputs_goes_where_they_differ_most(against):
    """The teacher's (or own) outputs are those of class 1 at every pixel: only one corner leads away from them."""
    model, weight = linear()
    x, y = torch.full((3, 1, 8, 8), 0.5), torch.zeros(3, dtype=torch.int64)
    sure = torch.tensor([[-30.0, 30.0]]).expand(3, 2)
    settings = Adversarial(eps=0.1, steps=8, alpha=0.1, against=against)
    found = attacked(model, x, sure, settings, generator())
    assert torch.allclose(found, x + 0.1 * weight.sign().reshape(1, 8, 8))
    labels = attacked(model, x, y, Adversarial(eps=0.1, steps=8, alpha=0.1), generator())
    assert torch.allclose(labels, x - 0.1 * weight.sign().reshape(1, 8, 8))


@pytest.mark.parametrize("name", ["outputs", "teacher"])
def test_an_attack_on_outputs_raises_their_divergence_and_does_not_look_at_labels(name):
    """The labels are wrong: moving away from them makes the network surer of what it said."""
    data, model, teacher = blobs(30), small().eval(), small(1).eval()
    for net in (model, teacher):
        finetune(net, data, recipe(epochs=4), seed=0)
    base = probabilities(teacher if name == "teacher" else model, data.x)
    gaps = {}
    for against in ("labels", name):
        settings = recipe(adversarial=Adversarial(eps=0.1, steps=10, against=against), distill=1.0)
        images = prepared(model, data.x, (data.y + 1) % 3, settings, teacher, generator()).images
        gaps[against] = divergence(base, probabilities(model, images["attacked"]))
    assert gaps[name] > 2 * gaps["labels"]
    assert gaps[name] > divergence(base, probabilities(model, data.x)) + 0.01


def test_rslad_weighs_both_images_and_asks_the_teacher_about_the_clean_one_alone():
    data, model, teacher, asked = blobs(12), small().eval(), small(1).eval(), []
    teacher.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[0]))
    settings = recipe(adversarial=Adversarial.rslad(eps=0.1, steps=2), distill=1.0, temperature=1.0)
    batch = prepared(model, data.x, data.y, settings, teacher, generator())
    loss, _ = batch_loss(model, batch, settings)
    assert len(asked) == 1
    assert torch.equal(asked[0], data.x)
    taught = probabilities(teacher, data.x)
    clean, moved = (probabilities(model, batch.images[image]) for image in ("clean", "attacked"))
    expected = 5 / 6 * divergence(taught, moved) + 1 / 6 * divergence(taught, clean)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_teacher_may_look_at_the_image_that_the_student_sees():
    data, model, teacher = blobs(12), small().eval(), small(1).eval()
    settings = recipe(adversarial=Adversarial(eps=0.1, steps=2, teacher_sees="same"), distill=1.0, temperature=1.0)
    batch = prepared(model, data.x, data.y, settings, teacher, generator())
    loss, _ = batch_loss(model, batch, settings)
    image = batch.images["attacked"]
    expected = divergence(probabilities(teacher, image), probabilities(model, image))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert set(batch.said) == {"attacked"}


def test_weights_are_perturbed_uphill_by_gamma_of_their_norm_and_come_back_bit_by_bit():
    data, model = blobs(24), small()
    settings = recipe(adversarial=Adversarial(eps=0.05, steps=2, gamma=0.01))
    batch, parameters = prepared(model, data.x, data.y, settings, None, generator()), list(model.parameters())
    before, state = [one.detach().clone() for one in parameters], weights(model)
    with torch.no_grad():
        low = float(batch_loss(copy.deepcopy(model), batch, settings)[0])
    with perturbed(model, parameters, batch, settings, 0.01):
        for one, was in zip(parameters, before, strict=True):
            moved = float((one.detach() - was).norm() / was.norm()) if one.ndim > 1 else float((one != was).sum())
            assert moved == pytest.approx(0.01 if one.ndim > 1 else 0.0, rel=1e-4)
        with torch.no_grad():
            high = float(batch_loss(copy.deepcopy(model), batch, settings)[0])
    assert high > low
    assert torch.equal(weights(model), state)  # BatchNorm's statistics included


def test_perturbed_weights_come_back_after_an_error_too():
    data, model = blobs(12), small()
    settings = recipe(adversarial=Adversarial(eps=0.05, steps=1, gamma=0.1))
    batch, before = prepared(model, data.x, data.y, settings, None, generator()), weights(model)

    def fails():
        with perturbed(model, list(model.parameters()), batch, settings, 0.1):
            assert not torch.equal(weights(model), before)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.equal(weights(model), before)


def test_a_step_with_awp_is_a_step_of_sgd_by_the_gradient_found_uphill():
    """One full batch of a linear network, attacked nowhere near (eps of 1e-9): all is written down anew."""
    data = blobs(12)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    weight = torch.randn(3, 64, generator=generator(5)) / 8
    model[1].weight.data, model[1].bias.data = weight.clone(), torch.zeros(3)
    settings = recipe(epochs=1, batch_size=12, lr=0.1, momentum=0.0, weight_decay=0.01)
    finetune(model, data, replace(settings, adversarial=Adversarial(eps=1e-9, steps=1, gamma=0.2)), seed=0)

    def slope(at):
        flat, truth = data.x.flatten(1), torch.nn.functional.one_hot(data.y, 3).float()
        return ((flat @ at.T).softmax(1) - truth).T @ flat / 12

    first = slope(weight)
    uphill = weight + 0.2 * weight.norm() * first / first.norm()
    assert torch.allclose(model[1].weight.data, weight - 0.1 * (slope(uphill) + 0.01 * weight), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [Adversarial.trades(eps=0.15, steps=4), Adversarial.fgsm_rs(eps=0.15), Adversarial(eps=0.15, gamma=0.01)],
)
def test_every_method_makes_a_network_more_robust(settings):
    data, robust = blobs(90), []
    for adversarial in (None, settings):
        model = small()
        finetune(model, data, recipe(epochs=8, adversarial=adversarial), seed=0)
        x = attacked(model, data.x, data.y, Adversarial(eps=0.15, steps=10), generator(1))
        robust.append(float((model.eval()(x).argmax(1) == data.y).float().mean()))
    assert robust[1] > robust[0] + 0.1


@pytest.mark.parametrize("settings", [{"clean": 1.0}, {"against": "self"}, {"gamma": -0.1}, {"beta": math.inf}])
def test_methods_that_cannot_work_are_refused(settings):
    with pytest.raises(InputError, match=r"^Adversarial: "):
        Adversarial(eps=0.1, **settings)


@pytest.mark.parametrize("settings", [{"against": "teacher"}, {"teacher_sees": "same"}])
def test_an_attack_that_asks_a_teacher_needs_a_recipe_that_distils(settings):
    with pytest.raises(InputError, match=r"distill=0 with an attack that asks a teacher, expected a share"):
        recipe(adversarial=Adversarial(eps=0.1, **settings))
