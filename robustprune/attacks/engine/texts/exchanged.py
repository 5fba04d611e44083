"""Runs the attack that exchanges words: ranked by the gradient, tried by the original network, the best one kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustprune.attacks.algorithms.texts.substitution import NONE, Substitution, exchangeable, gains, neighbours
from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.gradients import input_gradient
from robustprune.attacks.contract.losses import margin
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.batches import in_batches
from robustprune.attacks.engine.texts.embedded import behind
from robustprune.models.texts.network import FromEmbedding
from robustprune.results.exchanged import EXCHANGED

SHOWN = 4
"""So many broken texts are kept for those who read the report."""


def run_exchanged(attack: Substitution, target: Target, samples: Samples) -> Found:
    """Exchange words of the texts `samples` (m, T), int64; a text leaves at the first exchange that breaks it."""
    found = Found.nothing(samples.x, target.keep)
    inner, net = behind(target)
    search = Search(attack, target, inner, net)

    def batch(row: Tensor) -> None:
        search.exchange(samples.at(row), row, found)
        target.tick(len(row))

    in_batches(target, len(samples), found, batch)
    found.notes[EXCHANGED] = search.shown
    return found


@dataclass(frozen=True)
class Search:
    """The search on one network: `target` judges texts, `inner` gives gradients behind the embedding `net`."""

    attack: Substitution
    target: Target
    inner: Target
    net: FromEmbedding
    shown: list[dict[str, Any]] = field(default_factory=list)
    """The first texts that broke: token numbers before and after, the true class, and that which is taken for it."""

    def exchange(self, samples: Samples, row: Tensor, found: Found) -> None:
        """Exchange words of some texts, numbered `row` (k,) in `found`, until they are broken or none is left."""
        device = self.target.device
        x, y, row = samples.x.to(device), samples.y.to(device), row.to(device)
        found.steps[row.cpu()] = 0
        ids, table = x.clone(), self.table(x)
        for _ in range(int(self.attack.eps)):
            better, says, place, word = self.best(ids, y, table)
            found.steps[row.cpu()] += 1
            number = torch.arange(len(ids), device=device)[better]
            ids[number, place[better]] = word[better]
            table[number, place[better]] = NONE
            broken = better & (says != y)
            self.show(*(part[broken] for part in (x, ids, y, says)))
            size = (ids != x).sum(1).to(torch.float32)
            found.put(row[broken], ids[broken], broken[broken], size[broken], found.steps[row[broken].cpu()])
            stay = better & ~broken
            ids, x, y, table, row = (part[stay] for part in (ids, x, y, table, row))
            if not len(ids):
                return

    def show(self, *found: Tensor) -> None:
        """Keep some of the texts that broke: before (k, T), after (k, T), true class (k,), class taken for it (k,)."""
        for parts in zip(*(part.tolist() for part in found), strict=True):
            if len(self.shown) < SHOWN:
                self.shown.append(dict(zip(("before", "after", "class", "taken for"), parts, strict=True)))

    def table(self, x: Tensor) -> Tensor:
        """Return (m, T, C) what may stand at each place of texts (m, T)."""
        kinds, attack = self.net.net.kinds, self.attack
        where = exchangeable(x, kinds)
        words, place = x[where].unique(return_inverse=True)
        found = torch.full((*x.shape, attack.neighbours), NONE, device=x.device)
        if len(words):
            weight = self.net.net.embedding.weight.detach()
            found[where] = neighbours(words, kinds, weight, attack.neighbours, attack.cosine)[place]
        return found

    def best(self, ids: Tensor, y: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return of the best exchange in each text whether it raises the margin, the answer, and place and word.

        The answer is a class; NONE where logits are not a number.
        """
        value, rank = self.ranked(ids, y, table)
        tries = min(self.attack.tries, rank.shape[1])
        size, pair = rank.topk(tries, dim=1)
        place, word = pair // table.shape[2], table.flatten(1).gather(1, pair)
        trial = ids.repeat_interleave(tries, 0)
        trial.scatter_(1, place.reshape(-1, 1), word.clamp(min=0).reshape(-1, 1))
        logits, label = self.asked(trial), y.repeat_interleave(tries)
        lead = margin(logits, label).view(-1, tries).masked_fill(size.isinf(), -torch.inf)
        best, number = lead.max(1)
        answer = logits.argmax(1).masked_fill(logits.isnan().any(1), NONE).view(-1, tries)
        says, place, word = (part.gather(1, number[:, None])[:, 0] for part in (answer, place, word))
        return best > value, says, place, word

    def ranked(self, ids: Tensor, y: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin (m,) of texts, and by how much each exchange (m, T C) would raise it, were it linear."""
        point = self.net.embedded(ids).requires_grad_()
        value = margin(self.inner.model(point), y)
        grad = input_gradient(value.sum(), point)[..., :-1].nan_to_num(0.0)
        vectors = self.net.net.embedding.weight.detach() / self.net.scale
        return value.detach(), gains(grad, ids, table, vectors).flatten(1)

    @torch.no_grad()
    def asked(self, texts: Tensor) -> Tensor:
        """Return the logits of texts by the original network, in batches."""
        return torch.cat([self.target.judge(some) for some in texts.split(self.target.batch_size)])
