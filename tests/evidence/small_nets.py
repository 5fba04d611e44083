"""Small networks on 8 x 8 digits, and ways to break them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks import Attack
from robustprune.attacks.algorithms.autoattack import parts
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.evidence import EvidenceContext

EPS = 16 / 255
ATTACKS = (FGSM(eps=EPS), PGD(eps=EPS), PGD(eps=EPS, loss="margin"))
ONE_LOSS = (FGSM(eps=EPS), PGD(eps=EPS))


@dataclass
class Digits:
    train_x: Tensor
    train_y: Tensor
    x: Tensor
    y: Tensor


def digits() -> Digits:
    raw = load_digits()
    x = torch.tensor(raw.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(raw.target, dtype=torch.int64)
    return Digits(x[200:], y[200:], x[:100], y[:100])


def trained(net: nn.Module, data: Digits, epochs: int = 5) -> nn.Module:
    """Train with Adam; the digits are easy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        net.train()
        for _ in range(epochs):
            for part in torch.randperm(len(data.train_x)).split(64):
                optimiser.zero_grad()
                F.cross_entropy(net(data.train_x[part]), data.train_y[part]).backward()
                optimiser.step()
    return net.eval()


def context(model: nn.Module, data: Digits, attacks: Any = ATTACKS, **more: Any) -> EvidenceContext:
    """Attack the network, and return what the evaluation has to show for it."""
    found = evaluate(model, data.x, data.y, attacks)
    given = {"outcomes": found.outcomes, "clean": found.clean, "attacks": attacks, **more}
    return EvidenceContext(model=model, x=data.x, y=data.y, **given)


def bare_context(model: nn.Module, data: Digits, **more: Any) -> EvidenceContext:
    """A context without outcomes, for checks that look at the network alone."""
    return EvidenceContext(**{"model": model, "x": data.x, "y": data.y, "attacks": ATTACKS, **more})


def shortened(norm: Any, eps: float, classes: int = 10) -> tuple[Attack, ...]:
    """AutoAttack's set with few steps and queries."""
    few = {"Square": {"queries": 300}}
    return tuple(one.change(**few.get(one.name, {"steps": 10})) for one in parts(norm, eps, classes))


class Around(nn.Module):
    """A network with something before and after it."""

    def __init__(self, net: nn.Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.net, self.before, self.after = net, before, after
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(self.before(x) if self.before else x)
        return self.after(out) if self.after else out


def saturated(logits: Tensor) -> Tensor:
    """A head whose gradient is zero in float32 wherever it is confident."""
    return torch.tanh(1e4 * (logits - logits.mean(1, keepdim=True)))


def quantised(x: Tensor) -> Tensor:
    """Four grey levels; rounding has no gradient."""
    return torch.round(x * 3) / 3


class FalseGradient(torch.autograd.Function):
    """The identity, with a constant gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.ones_like(grad)


class Purifier(nn.Module):
    """Changes its input by gradient steps before it classifies: optimisation at inference."""

    def __init__(self, net: nn.Module, how: str) -> None:
        super().__init__()
        self.net, self.how = net, how
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x.detach().clone().requires_grad_()
            energy = torch.logsumexp(self.net(point), 1).sum()
            if self.how == "grad":
                (grad,) = torch.autograd.grad(energy, point)
            elif self.how == "backward":
                energy.backward()
                grad = point.grad
            else:
                torch.autograd.backward(energy, inputs=[point])
                grad = point.grad
        out: Tensor = self.net(x + 0.01 * grad.sign())
        return out


class Shaken(nn.Module):
    """Resizes an image to a random size, pads it at a random place and adds Gaussian noise (Xie et al. 1711.01991)."""

    def __init__(self, net: nn.Module, noise: float = 0.1, sizes: tuple[int, ...] = (10, 11, 12)) -> None:
        super().__init__()
        self.net, self.noise, self.sizes = net, noise, sizes

    def forward(self, x: Tensor) -> Tensor:
        side = self.sizes[int(torch.randint(len(self.sizes), ()))]
        room = max(self.sizes) - side
        left, top = (int(torch.randint(room + 1, ())) for _ in range(2))
        x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
        x = F.pad(x, (left, room - left, top, room - top))
        out: Tensor = self.net(x + self.noise * torch.randn_like(x))
        return out


def shaken(data: Digits) -> nn.Module:
    """A network with random resizing and noise, trained with them."""
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()]
    return trained(Shaken(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 25, 10))), data, epochs=20)
