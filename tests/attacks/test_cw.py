"""CW: what torchattacks 3.5.1 gets wrong, what the closed form says, and that samples are on their own."""

import pytest
import torch
import torchattacks
from attack_nets import SmallConv, images, labelled, linear_case, linear_net, margins
from paths import path

from robustprune.attacks import CW, PGD, evaluate
from robustprune.errors import InputError

LARGE = CW(eps=1e3)


def distances(net, x, y, attack, **more):
    return torch.tensor(evaluate(net, x, y, [attack], **more).outcomes[0].distance)


def test_steps_equal_the_librarys():
    """The library stops on the batch's cost; with that held off, iterates are equal to 1e-5."""
    net, x = SmallConv(), images(12, low=0.05, high=0.95)
    net.linear.bias.data += 100  # the library is right for positive logits only
    y = labelled(net, x)
    seen = []

    class Seen(torchattacks.CW):
        def tanh_space(self, w):
            seen.append(super().tanh_space(w))
            return seen[-1]

    Seen(net, c=2.0, steps=9, lr=0.02)(x, y)  # steps < 10: cost is compared at every step
    taken = len(seen) - 1
    assert taken >= 1
    ours = path(CW(eps=1.0, c=(2.0,), steps=taken, lr=0.02), net, x, y)[-1]
    assert torch.allclose(ours, seen[-1].detach(), atol=1e-5)


def test_smallest_success_is_never_worse_than_the_librarys():
    net, x = SmallConv(), images(30, low=0.05, high=0.95)
    y = labelled(net, x)
    adv = torchattacks.CW(net, c=1.0, steps=40)(x, y)
    theirs = (adv - x).flatten(1).norm(dim=1)
    fooled = labelled(net, adv) != y
    ours = distances(net, x, y, CW(eps=0.0, c=(1.0,), steps=40))
    assert fooled.sum() > 20
    assert (ours[fooled] <= theirs[fooled] + 1e-4).all()


def test_hazard_2_saturated_pixels_move():
    net = SmallConv()
    x = images(40).round()
    y = labelled(net, x)
    assert torch.equal(torchattacks.CW(net, c=100.0, steps=50)(x, y), x)
    ours = evaluate(net, x, y, [LARGE], keep=True)
    assert ours.outcomes[0].status == "b" * 40
    other = PGD(eps=float(torch.tensor(ours.outcomes[0].distance).median()), norm="L2", steps=100, restarts=3)
    # As small as PGD finds them: half of the samples fall at the median distance.
    assert evaluate(net, x, y, [other]).outcomes[0].status.count("b") < 30
    assert ours.adversarials[0].min() >= 0
    assert ours.adversarials[0].max() <= 1


def test_hazard_2_the_corner_of_the_box_has_the_closed_forms_distance():
    net = linear_net(torch.tensor([[1.0, 0.5], [0.0, 0.0]]), torch.tensor([0.3, 0.0]))
    x, y = torch.tensor([[0.4, 0.0]]).view(1, 1, 1, 2), torch.tensor([0])
    net[1].bias.data[0] = -0.3  # the border: x1 + x2 / 2 = 0.3; x2 cannot go below 0
    found = distances(net, x, y, CW(eps=0.0, steps=400, lr=0.003, c=(0.1, 0.3, 1.0), exhaustive=True))
    assert float(found) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("shift", [-100.0, 100.0])
def test_hazard_3_a_shift_of_the_logits_changes_nothing(shift):
    net, x, y = linear_case(40, classes=3)
    plain = distances(net, x, y, LARGE)
    if shift < 0:
        net[1].bias.data += shift
        assert torch.equal(torchattacks.CW(net, c=1.0)(x, y), x)
        net[1].bias.data -= shift
    net[1].bias.data += shift
    shifted = distances(net, x, y, LARGE)
    assert plain.isfinite().all()
    assert torch.allclose(plain, shifted, rtol=0.02)


def test_hazard_4_there_is_a_budget_and_c_is_swept():
    net, x, y = linear_case(80)
    net[1].weight.data /= 20
    net[1].bias.data /= 20
    eps = 0.15
    reach = margins(net, x, y, 2) <= eps
    adv = torchattacks.CW(net, c=0.01)(x, y)
    assert (labelled(net, adv) != y).sum() < 0.5 * reach.sum()  # c alone decides what the library finds
    outcome = evaluate(net, x, y, [CW(eps=eps, steps=100)]).outcomes[0]
    broken = torch.tensor([letter == "b" for letter in outcome.status])
    assert not (broken & ~reach).any()
    assert (reach & ~broken).float().mean() <= 0.03
    distance = torch.tensor(outcome.distance)
    assert (distance[broken] <= eps + 1e-6).all()
    beyond = distance.isfinite() & ~broken
    assert (distance[beyond] > eps).all()
    assert set(outcome.status) == {"b", "r"}


@pytest.mark.parametrize("classes", [3])
def test_the_distance_is_the_closed_forms(classes):
    net, x, y = linear_case(60, classes)
    want = margins(net, x, y, 2)
    attack = CW(eps=0.0, steps=250, lr=0.002, c=(0.01, 0.03, 0.1, 0.3), exhaustive=True)
    ratio = distances(net, x, y, attack) / want
    far = want > 0.02  # steps of 0.002 a pixel cannot resolve less
    assert far.sum() > 30
    assert ratio.min() >= 1 - 1e-4
    assert ratio[far].median() <= 1.01
    assert ratio[far].quantile(0.9) <= 1.03


@pytest.mark.parametrize("batch_size", [1, 7])
def test_hazard_5_samples_do_not_see_each_other(batch_size):
    net, x = SmallConv(), images(20)
    y = labelled(net, x)
    attack = CW(eps=0.2, steps=12, lr=0.02, c=(0.1, 1.0))
    whole, parts = (evaluate(net, x, y, [attack], batch_size=size, keep=True) for size in (64, batch_size))
    assert whole.outcomes[0].status == parts.outcomes[0].status
    assert torch.allclose(
        torch.tensor(whole.outcomes[0].distance),
        torch.tensor(parts.outcomes[0].distance),
        rtol=1e-3,
        equal_nan=True,
    )
    assert {"b", "r"} == set(whole.outcomes[0].status)


def test_hazard_5_the_library_does_see_them():
    net, x = SmallConv(), images(32)
    y = labelled(net, x)
    whole = torchattacks.CW(net, c=1.0, steps=30, lr=0.05)(x, y)
    parts = torch.cat(
        [torchattacks.CW(net, c=1.0, steps=30, lr=0.05)(a, b) for a, b in zip(x.split(1), y.split(1), strict=True)]
    )
    assert ((whole - parts).abs().flatten(1).amax(1) > 1e-3).any()


def test_stopping_early_spends_less_and_finds_the_same():
    net, x = SmallConv(), images(64)
    y = labelled(net, x)
    full, quick = (evaluate(net, x, y, [CW(eps=0.3, stop_early=stop)]).outcomes[0] for stop in (False, True))
    assert full.status == quick.status
    assert quick.backwards < 0.7 * full.backwards
    shorter = [a <= b + 1e-6 for a, b in zip(full.distance, quick.distance, strict=True) if a == a and b == b]
    assert all(shorter)


def test_exhaustive_runs_never_find_less():
    net, x = SmallConv(), images(20)
    y = labelled(net, x)
    some, all_ = (distances(net, x, y, CW(eps=0.3, exhaustive=e)) for e in (False, True))
    assert (all_ <= some + 1e-6)[some.isfinite()].all()


def test_the_image_kept_has_the_distance_reported():
    net, x = SmallConv(), images(30)
    y = labelled(net, x)
    found = evaluate(net, x, y, [CW(eps=0.2)], keep=True)
    length = (found.adversarials[0] - x).flatten(1).norm(dim=1)
    known = torch.tensor(found.outcomes[0].distance)
    assert torch.allclose(length[known.isfinite()], known[known.isfinite()], atol=1e-6)
    assert (labelled(net, found.adversarials[0]) != y)[known.isfinite()].all()


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="expected 'L2'"):
        CW(eps=0.1, norm="Linf")
    with pytest.raises(InputError, match="rising positive"):
        CW(eps=0.1, c=(1.0, 0.1))
