"""The training loop against hand-made steps, closed forms and torch's own optimiser."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from tiny_trainings import blobs, recipe, small, weights
from torch import nn

from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.finetune import Adversarial, DivergedError, finetune
from robustprune.finetune.losses import Batch, attacked, batch_loss, distillation_loss, heeds, prepared, truth
from robustprune.finetune.recalibration import recalibrate


def loss_of(model, data):
    model.eval()
    with torch.no_grad():
        return float(F.cross_entropy(model(data.x), data.y))


def test_training_lowers_the_loss_and_learns_the_task():
    model, data, other = small(), blobs(), blobs(seed=1)
    before = loss_of(model, other)
    finetune(model, data, recipe(epochs=10, schedule="onecycle"), seed=0)
    assert loss_of(model, other) < before / 4
    assert (model(other.x).argmax(1) == other.y).float().mean() > 0.95


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    trained = []
    for seed in (1, 1, 2):
        model = small(dropout=0.5)
        finetune(model, blobs(), recipe(augment="crop-flip", adversarial=Adversarial(eps=0.05, steps=2)), seed)
        trained.append(weights(model))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_global_generators_have_no_influence_and_are_left_alone():
    first, second = small(dropout=0.5), small(dropout=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        state = torch.get_rng_state()
        finetune(first, blobs(), recipe(), seed=0)
        assert torch.equal(torch.get_rng_state(), state)
        torch.default_generator.manual_seed(2)
        finetune(second, blobs(), recipe(), seed=0)
    assert torch.equal(weights(first), weights(second))


def test_dropout_is_on_while_training():
    dry, wet = small(dropout=0.0), small(dropout=0.5)
    for model in (dry, wet):
        finetune(model, blobs(), recipe(epochs=1), seed=0)
    assert not torch.equal(weights(dry), weights(wet))


def test_one_full_batch_is_one_step_of_torch_sgd():
    data, model = blobs(12), small(norm=False)
    reference = copy.deepcopy(model)
    finetune(model, data, recipe(epochs=1, batch_size=12, lr=0.1, momentum=0.8, weight_decay=0.01), seed=0)
    F.cross_entropy(reference(data.x), data.y).backward()
    for after, before in zip(model.parameters(), reference.parameters(), strict=True):
        slope = before.grad + 0.01 * before.detach()
        expected = before.detach() - 0.1 * (slope + 0.8 * slope)  # Nesterov: the first velocity is the slope
        assert torch.allclose(after, expected, atol=1e-6)


def test_several_epochs_of_full_batches_agree_with_torch_sgd_and_its_schedule():
    data, model = blobs(12), small(norm=False)
    reference = copy.deepcopy(model)
    finetune(model, data, recipe(epochs=5, batch_size=12, schedule="cosine"), seed=0)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(reference(data.x), data.y).backward()
        optimizer.step()
        scheduler.step()
    assert torch.allclose(weights(model), weights(reference), atol=1e-5)


def test_every_sample_is_seen_once_an_epoch_in_batches_of_nearly_one_size():
    seen, sizes = [], []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            if self.training:
                seen.extend(x[:, 0, 0, 0].tolist())
                sizes.append(len(x))
            return x[:, 0, 0, :3] * self.weight

    data = blobs(33)
    finetune(Spy(), data, recipe(epochs=2, batch_size=16), seed=0)
    assert sizes == [11] * 6
    assert sorted(seen[:33]) == sorted(seen[33:]) == sorted(data.x[:, 0, 0, 0].tolist())
    assert seen[:33] != seen[33:]


def test_samples_limits_training_to_a_balanced_subset():
    a, b = small(), small()
    finetune(a, blobs(), recipe(samples=9), seed=4)
    finetune(b, blobs().balanced(9, seed=4), recipe(), seed=4)
    assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_gradient_of_distillation_is_the_closed_form(temperature):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    distillation_loss(student, teacher, temperature).backward()
    gap = (student.detach() / temperature).softmax(1) - (teacher / temperature).softmax(1)
    assert torch.allclose(student.grad, temperature * gap / 5)


def test_distillation_by_hand_for_two_classes():
    """Student 1/2, 1/2 and teacher 3/4, 1/4: KL = 3/4 ln(3/2) + 1/4 ln(1/2)."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert float(distillation_loss(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-6)


def test_the_batch_loss_weighs_teacher_and_labels():
    data, model, teacher = blobs(12), small(0).eval(), small(1).eval()
    draws = torch.Generator()
    with torch.no_grad():
        settings = recipe(distill=0.3, label_smoothing=0.1)
        batch = prepared(model, data.x, data.y, settings, teacher, draws)
        mixed, logits = batch_loss(model, batch, settings)
        labels = F.cross_entropy(model(data.x), data.y, label_smoothing=0.1)
        taught = distillation_loss(model(data.x), teacher(data.x), 2.0)
        assert torch.equal(logits, model(data.x))
    assert float(mixed) == pytest.approx(float(0.7 * labels + 0.3 * taught), rel=1e-6)


def test_balanced_classes_weigh_alike_as_torch_and_sklearn_have_it():
    y = torch.tensor([0] * 6 + [1] * 3 + [2])
    settings, logits = recipe(class_weights="balanced"), torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    heed = heeds(y, settings)
    assert heed.tolist() == pytest.approx(expected[y].tolist())
    loss = truth(logits, Batch(images={}, y=y, said={}, heed=heed), settings)
    weighted = F.cross_entropy(logits, y, weight=torch.tensor(expected, dtype=torch.float32))
    assert float(loss) == pytest.approx(float(weighted))
    assert heeds(y, recipe()) is None


def test_a_rare_class_is_learned_when_classes_weigh_alike():
    """Two classes that overlap, nine to one: unweighted the bias alone decides for the common one."""
    y = torch.cat([torch.zeros(90, dtype=torch.int64), torch.ones(10, dtype=torch.int64)])
    noise = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Split((0.45 * noise + 0.25 + 0.05 * y.view(-1, 1, 1, 1)).clamp(0, 1), y)
    found = {}
    for chosen in (None, "balanced"):
        net = small(0, norm=False)
        finetune(net, data, recipe(epochs=12, class_weights=chosen), seed=0)
        found[chosen] = int((net.eval()(data.x).argmax(1) == y)[90:].sum())
    assert found[None] < found["balanced"]


def test_under_attack_the_teacher_still_looks_at_the_clean_image():
    data, model = blobs(12), small(0).eval()
    settings, shown = recipe(distill=0.5, adversarial=Adversarial(eps=0.1, steps=2)), []
    teacher, student = small(1), small(0)
    teacher.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0]))
    attack = attacked(model, data.x, data.y, settings.adversarial, torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(0)
    loss, _ = batch_loss(student, prepared(student.eval(), data.x, data.y, settings, teacher, draws), settings)
    assert torch.equal(shown[0], data.x)
    with torch.no_grad():
        taught = distillation_loss(model(attack), teacher.eval()(data.x), 2.0)
        expected = 0.5 * F.cross_entropy(model(attack), data.y) + 0.5 * taught
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_a_student_comes_closer_to_its_teacher_than_to_the_labels():
    data, teacher = blobs(), small(3)
    teacher.train()
    before = weights(teacher).clone()
    student = small(4)
    flipped = Split(data.x, (data.y + 1) % 3)
    finetune(teacher, data, recipe(epochs=8), seed=0)
    after = weights(teacher).clone()
    finetune(student, flipped, recipe(epochs=12, distill=1.0), seed=0, teacher=teacher)
    student.eval()
    teacher.eval()
    assert (student(data.x).argmax(1) == teacher(data.x).argmax(1)).float().mean() > 0.9
    assert not torch.equal(before, after)
    assert torch.equal(weights(teacher), after)


def test_a_recipe_that_distils_asks_for_a_teacher():
    with pytest.raises(InputError, match="expected a teacher"):
        finetune(small(), blobs(), recipe(distill=0.5), seed=0)


def test_modes_gradients_and_frozen_parameters_come_back():
    model, teacher = small(), small(1).train()
    model.eval()
    model[1].train()
    model[0].weight.requires_grad_(False)
    still = model[0].weight.detach().clone()
    flags = [module.training for module in model.modules()]
    finetune(model, blobs(), recipe(distill=0.5, augment="shift"), seed=0, teacher=teacher)
    assert [module.training for module in model.modules()] == flags
    assert all(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in [*model.parameters(), *teacher.parameters()])
    assert torch.equal(model[0].weight, still)
    assert model[0].weight.is_contiguous()


def test_modes_come_back_after_an_error_too():
    model = small().eval()
    state = torch.get_rng_state()
    with pytest.raises(
        DivergedError, match=r"recipe 'r': the loss is not finite in epoch \d of 3; use a lr below 1e\+20"
    ):
        finetune(model, blobs(), recipe(epochs=3, lr=1e20), seed=0)
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_to_train_is_refused():
    model = small().requires_grad_(False)
    with pytest.raises(InputError, match="nothing to train"):
        finetune(model, blobs(), recipe(), seed=0)


def test_progress_is_told_after_every_epoch():
    told = []
    finetune(small(), blobs(), recipe(epochs=3), seed=0, tick=told.append)
    assert [(epoch.done, epoch.total) for epoch in told] == [(1, 3), (2, 3), (3, 3)]


def test_loss_and_accuracy_of_an_epoch_are_those_of_what_was_shown():
    """One epoch of one batch: both are of the network as it was before."""
    model, data, told = small(), blobs(), []
    with torch.no_grad():
        logits = copy.deepcopy(model).train()(data.x)
    finetune(model, data, recipe(epochs=1, batch_size=len(data)), seed=0, tick=told.append)
    assert told[0].loss == pytest.approx(float(F.cross_entropy(logits, data.y)), rel=1e-4)
    assert told[0].accuracy == pytest.approx(float((logits.argmax(1) == data.y).float().mean()), rel=1e-6)


def test_no_epochs_change_nothing():
    model = small()
    before = weights(model)
    finetune(model, blobs(), recipe(epochs=0), seed=0)
    assert torch.equal(weights(model), before)


def test_the_inner_attack_stays_in_its_ball_raises_the_loss_and_leaves_batchnorm_alone():
    data, model = blobs(), small()
    finetune(model, data, recipe(epochs=5), seed=0)
    model.train()
    before, settings = weights(model), Adversarial(eps=0.1, steps=5)
    x = attacked(model, data.x, data.y, settings, torch.Generator().manual_seed(0))
    assert not x.requires_grad
    assert float((x - data.x).abs().max()) <= 0.1 + 1e-6
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert torch.equal(weights(model), before)
    assert model.training
    assert loss_of(model, Split(x, data.y)) > loss_of(model, data) + 0.05


def test_the_inner_attack_on_a_linear_model_is_the_corner_of_the_ball():
    """For two classes and logits (w·x, 0), the loss of class 0 rises fastest at x - eps sign(w)."""
    weight = torch.randn(64, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    model[1].weight.data = torch.stack([weight, torch.zeros(64)])
    x, y = torch.full((3, 1, 8, 8), 0.5), torch.zeros(3, dtype=torch.int64)
    found = attacked(model, x, y, Adversarial(eps=0.1, steps=10, alpha=0.05), torch.Generator())
    assert torch.allclose(found, x - 0.1 * weight.sign().reshape(1, 8, 8))


def test_adversarial_training_makes_a_network_more_robust():
    data = blobs(90)
    robust = []
    for adversarial in (None, Adversarial(eps=0.15, steps=4)):
        model = small()
        finetune(model, data, recipe(epochs=12, adversarial=adversarial), seed=0)
        x = attacked(model, data.x, data.y, Adversarial(eps=0.15, steps=10), torch.Generator().manual_seed(1))
        robust.append(float((model.eval()(x).argmax(1) == data.y).float().mean()))
    assert robust[1] > robust[0] + 0.1


def test_recalibration_finds_the_mean_and_variance_of_equal_batches():
    data, model = blobs(64), nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
    model[0].running_mean.fill_(7.0)
    momentum, weight = model[0].momentum, model[3].weight.detach().clone()
    recalibrate(model.eval(), data.x, batch_size=16)
    batches = [data.x[first::4] for first in range(4)]
    assert float(model[0].running_mean) == pytest.approx(float(data.x.mean()), rel=1e-5)
    expected = sum(float(batch.var()) for batch in batches) / 4
    assert float(model[0].running_var) == pytest.approx(expected, rel=1e-5)
    assert model[0].momentum == momentum
    assert not model[0].training
    assert torch.equal(model[3].weight, weight)


def test_recalibration_alone_mends_wrong_statistics():
    data, model = blobs(), small()
    finetune(model, data, recipe(epochs=10), seed=0)
    good = loss_of(model, data)
    model[1].running_mean.add_(5.0)
    assert loss_of(model, data) > 10 * good
    finetune(model, data, recipe(epochs=0, recalibrate=True, batch_size=60), seed=0)
    assert loss_of(model, data) < 2 * good


@pytest.mark.parametrize("use", ["view", "in place"])
def test_a_network_that_flattens_by_view_or_normalises_in_place_learns_as_its_twin_does(use):
    class Flat(nn.Module):
        def __init__(self, twin):
            super().__init__()
            net = small(norm=False)
            self.conv, self.head, self.twin = net[0], net[-1], twin

        def forward(self, x):
            if use == "in place":
                x = (x - 0.5) / 0.5 if self.twin else x.sub_(0.5).div_(0.5)
            x = torch.relu(self.conv(x))
            return self.head(x.flatten(1) if self.twin or use == "in place" else x.view(len(x), -1))

    ours, twin, data = Flat(False), Flat(True), blobs(32)
    before, inner = data.x.clone(), Adversarial(eps=0.1, steps=2)
    for net in (ours, twin):
        finetune(net, data, recipe(epochs=1, adversarial=inner, distill=0.5), seed=0, teacher=copy.deepcopy(net))
    assert torch.allclose(weights(ours), weights(twin), atol=1e-5)
    assert torch.equal(data.x, before)


KINDS = {
    "labels": {},
    "teacher": {"distill": 0.5},
    "attack": {"adversarial": Adversarial(eps=0.05, steps=2)},
    "weights too": {"adversarial": Adversarial(eps=0.05, steps=1, gamma=0.01)},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_mixed_precision_goes_nearly_the_way_of_full_precision(kind):
    """One step of rate 1 is the gradient: within 2 % of float32's, not equal to it, and kept in float32."""
    moves = {}
    for precision in ("float32", "bfloat16"):
        net = small(0)
        before, settings = (
            weights(net),
            recipe(epochs=1, lr=1.0, momentum=0.0, batch_size=60, precision=precision, **kind),
        )
        finetune(net, blobs(), settings, seed=0, teacher=small(1) if settings.distill else None)
        assert all(one.dtype == torch.float32 for one in net.state_dict().values() if one.is_floating_point())
        moves[precision] = weights(net) - before
    gap = (moves["bfloat16"] - moves["float32"]).norm() / moves["float32"].norm()
    assert 0 < gap < 0.02


def test_mixed_precision_learns_the_task():
    net, other = small(), blobs(seed=1)
    finetune(net, blobs(), recipe(epochs=10, schedule="onecycle", precision="bfloat16"), seed=0)
    assert (net.eval()(other.x).argmax(1) == other.y).float().mean() > 0.95
