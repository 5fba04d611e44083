"""Losses of single samples; the larger, the nearer to a misclassification."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) the largest other logit minus the true class's: positive where misclassified.

    Unlike the mask of torchattacks' CW it does not multiply, so it is right for negative logits.

    >>> margin(torch.tensor([[-101.0, -100.0], [5.0, 2.0]]), torch.tensor([0, 0])).tolist()
    [1.0, -3.0]
    """
    true = y[:, None]
    return logits.scatter(1, true, -torch.inf).amax(1) - logits.gather(1, true)[:, 0]


def probability(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) log(1 + p_o - p_y), p_y the probability of the true class and p_o the largest other one.

    It rises with the probability margin p_o - p_y (PMA, arXiv 2411.15210), is positive where that is, and its gradient
    points the same way, but does not vanish where the network is so sure that p_o - p_y is -1 to the last bit. Since
    all probabilities add up to 1, 1 + p_o - p_y is the sum of the others' with p_o counted twice.

    >>> logits = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]).log()
    >>> probability(logits, torch.tensor([0, 0])).expm1()
    tensor([-0.3000,  0.5000])
    """
    others = logits.log_softmax(1).scatter(1, y[:, None], -torch.inf)
    return torch.cat((others, others.amax(1, keepdim=True)), 1).logsumexp(1)


def towards(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return (m,) the logit of the class `target` minus the true class's.

    >>> towards(torch.tensor([[4.0, 3.0, 1.0]]), torch.tensor([0]), torch.tensor([2]))
    tensor([-3.])
    """
    wanted, right = (logits.gather(1, which[:, None])[:, 0] for which in (target, y))
    return wanted - right


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) the cross-entropy of every sample, in nats."""
    return functional.cross_entropy(logits, y, reduction="none")
