"""Runs attacks that try a list of transforms: common corruptions, rotations and shifts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.target import Target
from robustprune.attacks.contract.threat import rows
from robustprune.attacks.contract.transformed import Transform, TransformedAttack
from robustprune.attacks.engine.batches import in_batches
from robustprune.results.each import WITHSTOOD


def run_transformed(attack: TransformedAttack, target: Target, samples: Samples, seed: int) -> Found:
    """Try transform after transform on the samples; the original model judges each image that comes of it.

    Of an attack whose transforms are tried one by one the notes say how many samples withstood each. Raises no error
    for an image that is not finite: the batch counts as not attacked.
    """
    found = Found.nothing(samples.x, target.keep)
    tried = attack.transforms(tuple(samples.x.shape[1:]))
    withstood = Counter(dict.fromkeys((one.name for one in tried), 0))

    def batch(row: Tensor) -> None:
        withstood.update(_one_by_one(attack, tried, target, samples.at(row), row, seed, found))
        target.tick(len(row))

    in_batches(target, len(samples), found, batch)
    if attack.one_by_one:
        found.notes[WITHSTOOD] = dict(withstood)
    return found


def _one_by_one(
    attack: TransformedAttack,
    tried: Sequence[Transform],
    target: Target,
    some: Samples,
    row: Tensor,
    seed: int,
    found: Found,
) -> dict[str, int]:
    """Try the transforms on `some` of the samples, numbers `row` (k,); return how many withstood each."""
    own, left, withstood = keys(some.x), torch.ones(len(row), dtype=torch.bool), {}
    for number, one in enumerate(tried, 1):
        shown = torch.arange(len(row)) if attack.one_by_one else left.nonzero().flatten()
        if not len(shown):
            break
        images = one.apply(some.x[shown], own[shown], seed).clamp(0, 1)
        if not bool(torch.isfinite(images).all()):
            raise RuntimeError(f"{one.name} gave images that are not finite")
        wrong = target.wrong(images.to(target.device), some.y[shown].to(target.device)).cpu()
        withstood[one.name] = int((~wrong).sum())
        new = left[shown]
        place, broken, size = shown[new], wrong[new], torch.full((int(new.sum()),), one.size)
        kept = torch.where(rows(broken, images), images[new], some.x[place])
        found.put(row[place], kept, broken, size, torch.full_like(place, number))
        left[place[broken]] = False
    return withstood
