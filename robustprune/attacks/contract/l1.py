"""The L1 ball within the box: its nearest point, and the step along which a loss rises fastest."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest(adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
    """Return the point nearest to `adv` (m, ...) of the ball around `x` and the box together; `eps` may be (m, 1).

    (Croce & Hein 2021, arXiv 2103.01208, proposition 2.1.) All values move towards `x` by one amount, beginning beyond
    the wall where they lie there. As the amount falls, a value begins to count at its own size, and stops growing where
    it reaches the wall.

    >>> nearest(torch.tensor([[0.9, 0.4]]), torch.tensor([[0.5, 0.5]]), 0.25)
    tensor([[0.7500, 0.5000]])
    """
    delta, clean = (adv - x).flatten(1), x.flatten(1)
    size, room = delta.abs(), torch.where(delta > 0, 1 - clean, clean)
    amounts, order = torch.cat((size, size - room), 1).sort(dim=1, descending=True)
    growing = torch.where(order < size.shape[1], 1, -1).cumsum(1)
    total = ((amounts[:, :-1] - amounts[:, 1:]) * growing[:, :-1]).cumsum(1)
    total = torch.cat((torch.zeros_like(total[:, :1]), total), 1)
    last = ((total < eps).sum(1, keepdim=True) - 1).clamp(min=0)
    lacks = (eps - total.gather(1, last)) / growing.gather(1, last).clamp(min=1)
    amount = (amounts.gather(1, last) - lacks).clamp(min=0)
    moved = delta.sign() * (size - amount).clamp(min=0).minimum(room)
    return (x + moved.view_as(x)).clamp_(0, 1)


def sparse_step(grad: Tensor, adv: Tensor, sparsity: float) -> Tensor:
    """Return a step of size 1 that the largest gradients share, a share `sparsity` of the values or at least one.

    Only values that the step would not carry out of [0,1] take part.

    >>> sparse_step(torch.tensor([[3.0, -2.0]]), torch.tensor([[1.0, 0.5]]), 0.01)
    tensor([[ 0., -1.]])
    """
    free = torch.where(grad > 0, adv < 1, adv > 0)
    largest, place = (grad.abs() * free).flatten(1).topk(max(1, int(sparsity * grad[0].numel())), dim=1)
    signs = grad.flatten(1).gather(1, place).sign() * (largest > 0)
    share = signs / (largest > 0).sum(1, keepdim=True).clamp(min=1)
    return torch.zeros_like(grad.flatten(1)).scatter(1, place, share).view_as(grad)
