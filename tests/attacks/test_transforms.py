"""Corruptions, rotations and shifts against PIL, scipy, colorsys, right angles, whole pixels, and brute force."""

import colorsys
import io
import math

import numpy as np
import pytest
import torch
from attack_nets import SmallConv, images, labelled
from PIL import Image
from scipy.ndimage import gaussian_filter

from robustprune.attacks import Corruptions, RotateTranslate, evaluate, robust_curve
from robustprune.attacks.algorithms.corruptions import corrupted
from robustprune.attacks.algorithms.distortions import KINDS
from robustprune.attacks.algorithms.spatial import moved
from robustprune.attacks.contract.randomness import keys
from robustprune.errors import InputError
from robustprune.results.each import WITHSTOOD, each

GREY = [name for name, kind in KINDS.items() if not kind.colour]


def under(name, x, severity, seed=0):
    return corrupted(name, KINDS[name], severity, x, keys(x), seed)


def level(name, x, value):
    return KINDS[name].distort(x, value, np.random.default_rng(0))


@pytest.fixture(scope="module")
def case():
    """A network on 40 images of one channel, some of which it gets wrong."""
    net, x = SmallConv(), images(40)
    y = labelled(net, x)
    y[::8] = (y[::8] + 1) % 4
    return net, x, y


def test_at_severity_0_everything_is_as_right_as_clean(case):
    found = evaluate(*case, [Corruptions(severity=0)])
    (outcome,) = found.outcomes
    assert outcome.robust == found.clean
    assert 0 < sum(found.clean) < 40
    assert outcome.notes[WITHSTOOD] == dict.fromkeys(GREY, sum(found.clean))


def test_robust_is_right_under_every_corruption_and_each_is_counted(case):
    net, x, y = case
    outcome = evaluate(net, x, y, [Corruptions(severity=5)]).outcomes[0]
    right = labelled(net, x) == y
    alone = {name: right & (labelled(net, under(name, x, 5)) == y) for name in GREY}
    assert outcome.robust == torch.stack([*alone.values()]).all(0).tolist()
    assert outcome.notes[WITHSTOOD] == {name: int(row.sum()) for name, row in alone.items()}
    assert outcome.forwards == len(GREY) * int(right.sum())
    assert (outcome.threat, outcome.budget) == ("severity 5", {"transforms": 11})
    found = each(outcome)
    assert found.mean == pytest.approx(float(torch.stack([*alone.values()]).float().mean()))
    assert found.worst[1] == min(int(row.sum()) for row in alone.values()) / 40 > sum(outcome.robust) / 40


@pytest.mark.parametrize("attack", [Corruptions(severity=4), RotateTranslate(angles=3, shifts=3)])
def test_batch_order_and_company_change_nothing(case, attack):
    net, x, y = case
    whole = evaluate(net, x, y, [attack], keep=True)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:25]
    part = evaluate(net, x[order], y[order], [attack], batch_size=4, keep=True)
    assert part.outcomes[0].status == "".join(whole.outcomes[0].status[place] for place in order)
    assert torch.equal(part.adversarials[0], whole.adversarials[0][order])
    assert "b" in part.outcomes[0].status


def test_another_seed_draws_other_noise():
    x = images(3)
    assert torch.equal(under("gaussian noise", x, 3), under("gaussian noise", x, 3))
    assert not torch.equal(under("gaussian noise", x, 3), under("gaussian noise", x, 3, seed=1))


@pytest.mark.parametrize("name", KINDS)
def test_every_corruption_stays_in_the_box_and_changes_a_picture(name):
    x = images(2, 1, (3, 24, 40))
    for severity in range(1, 6):
        after = under(name, x, severity)
        assert after.shape == x.shape
        assert 0 <= float(after.min()) <= float(after.max()) <= 1
        assert 1e-3 < float((after - x).abs().mean()) < 0.5


def test_noise_has_the_size_and_the_share_that_it_says():
    x = torch.full((1, 200, 200), 0.5)
    assert float(level("gaussian noise", x, 0.06).std()) == pytest.approx(0.06, rel=0.02)
    shot = level("shot noise", x, 100)
    assert (float(shot.mean()), float(shot.var())) == pytest.approx((0.5, 0.5 / 100), rel=0.03)
    impulse = level("impulse noise", x, 0.05)
    assert [float((impulse == end).float().mean()) for end in (0, 1)] == pytest.approx([0.025, 0.025], rel=0.1)


def test_blur_is_scipys_gaussian_and_keeps_what_it_spreads():
    x = images(1, 2, (1, 20, 20))[0]
    np.testing.assert_allclose(
        level("gaussian blur", x, 1.0)[0].numpy(), gaussian_filter(x[0].numpy(), 1.0, mode="nearest"), atol=1e-5
    )
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    for name in ("defocus blur", "motion blur"):
        spread = level(name, point, KINDS[name].levels[4])
        assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
        assert float(spread.max()) < 0.5
    line = level("motion blur", point, (9, 2.5))[0].nonzero() - 15
    assert int(line[:, 1].min()) >= -10
    assert (line[:, 0].abs() <= line[:, 1].abs() + 2).all()  # at most 45 degrees from the horizontal


def test_light_and_colour_are_those_of_hsv():
    x = images(1, 3, (3, 2, 2), 0.05, 0.95)[0]
    bright, dull = level("brightness", x, 0.1), level("saturation", x, (0.3, 0.05))
    for row in range(2):
        for column in range(2):
            h, s, v = colorsys.rgb_to_hsv(*x[:, row, column].tolist())
            raised, faded = (h, s, min(v + 0.1, 1)), (h, min(0.3 * s + 0.05, 1), v)
            assert bright[:, row, column].tolist() == pytest.approx(colorsys.hsv_to_rgb(*raised), abs=1e-5)
            assert dull[:, row, column].tolist() == pytest.approx(colorsys.hsv_to_rgb(*faded), abs=1e-5)
    grey = images(1, 4)[0]
    assert torch.equal(level("saturation", grey, (2.5, 0.2)), grey)
    low = level("contrast", grey, 0.4)
    assert (float(low.mean()), float(low.std())) == pytest.approx((float(grey.mean()), 0.4 * float(grey.std())))


def test_pixels_and_jpeg_are_those_of_pil():
    x = (images(1, 5, (1, 32, 32))[0] * 255).round() / 255
    picture = Image.fromarray((x[0] * 255).to(torch.uint8).numpy())
    small = picture.resize((16, 16), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
    pixelated = level("pixelate", x, 0.5)[0].numpy() * 255  # not rounded, twice, as PIL's
    assert np.abs(pixelated - np.asarray(small, dtype=float)).max() <= 1.01
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=50)
    assert np.abs(level("jpeg", x, 50)[0].numpy() * 255 - np.asarray(Image.open(stream), dtype=float)).max() <= 2


def turned(x, angle, shift=(0.0, 0.0), padding="zeros"):
    return moved(angle, shift, padding, x, keys(x), 0)


def test_turns_by_right_angles_and_shifts_by_whole_pixels_are_exact():
    x = images(3, 6, (3, 10, 10))
    for quarter in (1, 2, 3):
        assert torch.allclose(turned(x, 90.0 * quarter), torch.rot90(x, quarter, (2, 3)), atol=1e-5)
    right, down = turned(x, 0.0, (0.2, 0.0)), turned(x, 0.0, (0.0, 0.1))
    assert torch.allclose(right[..., 2:], x[..., :-2], atol=1e-5)
    assert torch.allclose(down[:, :, 1:], x[:, :, :-1], atol=1e-5)
    assert float(right[..., :2].abs().max()) < 1e-5
    assert torch.allclose(turned(x, 0.0, (0.2, 0.0), "border")[..., 0], x[..., 0], atol=1e-5)
    both = turned(x, 90.0, (0.2, 0.0))
    assert torch.allclose(both[..., 2:], torch.rot90(x, 1, (2, 3))[..., :-2], atol=1e-5)
    assert turned(x, 0.0) is x
    wide = images(1, 7, (1, 6, 12))
    assert torch.allclose(turned(wide, 180.0), wide.flip(2, 3), atol=1e-5)


def test_the_worst_of_the_grid_is_that_of_every_point(case):
    net, x, y = case
    attack = RotateTranslate(degrees=3, shift=0.02, angles=3, shifts=3)
    found = evaluate(net, x, y, [attack], keep=True)
    (outcome,) = found.outcomes
    right, shifts = torch.tensor(found.clean), (-0.02, 0.0, 0.02)
    survive = [
        labelled(net, turned(x, angle, (a, b))) == y for angle in (-3.0, 0.0, 3.0) for a in shifts for b in shifts
    ]
    assert torch.equal(torch.tensor(outcome.robust), torch.stack(survive).all(0))
    assert (torch.tensor(outcome.robust) <= right).all()
    broken = torch.tensor([letter == "b" for letter in outcome.status])
    assert torch.equal(labelled(net, found.adversarials[0])[broken] != y[broken], torch.ones(int(broken.sum())).bool())
    assert 0 < int(broken.sum()) < int(right.sum())
    assert outcome.forwards == sum(outcome.steps)
    assert all(math.isnan(at) or at <= 3 for at in outcome.distance)


def test_a_grid_of_shifts_alone_has_its_own_threat():
    attack = RotateTranslate(degrees=0, shift=0.25, shifts=3)
    assert (attack.threat, attack.count) == ("shift of the sides, % 25", 9)
    assert {one.size for one in attack.transforms((1, 8, 8))} == {0, 25}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Corruptions(severity=6),
        lambda: Corruptions(kinds=("fog",)),
        lambda: Corruptions(kinds=()),
        lambda: RotateTranslate(angles=4),
        lambda: RotateTranslate(shift=1.0),
        lambda: RotateTranslate(degrees=200),
        lambda: RotateTranslate(padding="mirror"),
        lambda: Corruptions().ball,
        lambda: robust_curve(SmallConv(), images(2), torch.zeros(2).long(), Corruptions(), [0.1]),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        wrong()


def test_an_image_that_is_no_number_counts_as_not_attacked(case, monkeypatch):
    net, x, y = case
    nothing = [
        one.__class__(name="nan", size=1, apply=lambda x, keys, seed: x * math.nan)
        for one in Corruptions(kinds=("jpeg",)).transforms((1, 8, 8))
    ]
    monkeypatch.setattr(Corruptions, "transforms", lambda self, shape: nothing)
    outcome = evaluate(net, x, y, [Corruptions()]).outcomes[0]
    assert set(outcome.status) == {"e", "f"}
    assert "not finite" in outcome.error
