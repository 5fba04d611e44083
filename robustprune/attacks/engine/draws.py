"""Runs attacks that draw perturbations without looking at the network: noise."""

from __future__ import annotations

import torch
from torch import Tensor

from robustprune.attacks.contract.drawn import DrawnAttack
from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.randomness import generators, keys
from robustprune.attacks.contract.target import Target
from robustprune.attacks.contract.threat import rows
from robustprune.attacks.engine.batches import in_batches


def run_drawn(attack: DrawnAttack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Try draw after draw on the samples `x` (m, C, H, W); the first that the original gets wrong breaks a sample."""
    found = Found.nothing(x, target.keep)

    def batch(row: Tensor) -> None:
        _draw(attack, target, x, y, row, seed, found)
        target.tick(len(row))

    in_batches(target, len(x), found, batch)
    return found


def _draw(attack: DrawnAttack, target: Target, x: Tensor, y: Tensor, row: Tensor, seed: int, found: Found) -> None:
    """Draw for the samples `row` until they are broken or the draws are used up."""
    key = keys(x[row])
    for draw in range(attack.draws):
        clean = x[row].to(target.device)
        noise = attack.perturbation(clean, generators(seed, key, torch.full_like(key, draw)))
        adv = (clean + noise).clamp(0, 1)
        wrong = target.wrong(adv, y[row].to(target.device))
        images = torch.where(rows(wrong, adv), adv, clean)
        found.put(row, images, wrong, attack.ball.size(adv - clean), torch.full_like(row, draw + 1))
        row, key = row[~wrong.cpu()], key[~wrong.cpu()]
        if not len(row):
            return
