"""Augmentation against the plain loop over images that it replaces."""

import pytest
import torch
import torch.nn.functional as F

from robustprune.finetune import AUGMENTS, Augment
from robustprune.finetune.augment import moved


def slowly(x, down, right, mirror):
    """The definition: mirror one image, then paste it at an offset on black."""
    out = torch.zeros_like(x)
    _, _, height, width = x.shape
    for i in range(len(x)):
        image = x[i].flip(-1) if mirror[i] else x[i]
        for row in range(height):
            for column in range(width):
                r, c = row - int(down[i]), column - int(right[i])
                if 0 <= r < height and 0 <= c < width:
                    out[i, :, row, column] = image[:, r, c]
    return out


def test_moved_equals_the_loop_over_images():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(20, 3, 5, 7, generator=generator)
    down, right = (torch.randint(-3, 4, (20,), generator=generator) for _ in range(2))
    mirror = torch.randint(0, 2, (20,), generator=generator).bool()
    assert torch.equal(moved(x, down, right, mirror), slowly(x, down, right, mirror))


def test_crop_flip_gives_crops_of_the_padded_image_and_of_its_mirror():
    x = torch.rand(1, 1, 16, 16)
    padded = F.pad(x, [2, 2, 2, 2])
    crops = [padded[..., r : r + 16, c : c + 16] for r in range(5) for c in range(5)]
    mirrored = F.pad(x.flip(-1), [2, 2, 2, 2])
    crops += [mirrored[..., r : r + 16, c : c + 16] for r in range(5) for c in range(5)]
    made = AUGMENTS["crop-flip"](x.expand(400, -1, -1, -1), torch.Generator().manual_seed(1))
    seen = {next(i for i, crop in enumerate(crops) if torch.equal(crop[0], image)) for image in made}
    assert len(seen) == 50


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_augmentation_keeps_shape_and_range_and_follows_its_generator(name):
    x = torch.rand(40, 3, 8, 8)
    first, again, other = (AUGMENTS[name](x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == x.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "none")


def test_shift_never_mirrors_and_flip_never_shifts():
    ramp = torch.arange(1.0, 9.0).expand(200, 1, 8, 8) / 8
    shifted = AUGMENTS["shift"](ramp, torch.Generator().manual_seed(0))[..., 4, :]
    assert bool((shifted[..., 2:6].diff() > 0).all())
    flipped = AUGMENTS["flip"](ramp, torch.Generator().manual_seed(0))
    as_it_was = (flipped == ramp).flatten(1).all(1)
    turned = (flipped == ramp.flip(-1)).flatten(1).all(1)
    assert bool((as_it_was ^ turned).all())
    assert 60 < int(turned.sum()) < 140


def test_the_global_generator_is_not_drawn_from():
    before = torch.get_rng_state()
    Augment(shift=0.5, flip=True)(torch.rand(4, 1, 8, 8, generator=torch.Generator()), torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)
