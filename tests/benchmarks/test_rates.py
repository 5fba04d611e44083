"""How many passes a second this machine makes, and what a suite costs by them; run it as test_engine_speed.py says.

Hours of a suite = networks x samples x (forwards + passes back a sample) x seconds each / devices; what a sample may
cost at most is what its attacks are allowed (`Attack.allowed`), and the evidence of a tier at most as much again.
"""

import time

import pytest
import torch
from test_engine_speed import all_cores, network
from torch.nn import functional
from torchvision.models import resnet50

from robustprune.attacks import tier
from robustprune.models import CifarResNet
from robustprune.models.device import device_of

__all__ = ["all_cores"]

pytestmark = pytest.mark.slow

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

NETWORKS = {
    "digits ResNet-20, width 8": (lambda: CifarResNet(20, width=8, in_channels=1), (1, 8, 8), 300),
    "resnet4b": (lambda: network("resnet4b"), (3, 32, 32), 128),
    "ResNet-56": (lambda: network("resnet56"), (3, 32, 32), 128),
    "ImageNet ResNet-50": (resnet50, (3, 224, 224), 32),
}

SECONDS = 5.0


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_passes_a_second(name, device, benchmark):
    """The median of batches made for some seconds, one after the other, on all cores."""
    make, shape, batch = NETWORKS[name]
    torch.manual_seed(0)
    net = make().to(device).eval().requires_grad_(False)
    x = torch.rand(batch, *shape, device=device_of(net, torch.device(device)))
    forward = _median(lambda: net(x).sum().item())
    both = _median(lambda: torch.autograd.grad(_loss(net, x), x)[0].sum().item(), x)
    benchmark.extra_info.update(
        device=torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} cores",
        forwards_a_second=round(batch / forward, 1),
        forwards_and_backwards_a_second=round(batch / both, 1),
    )
    benchmark.pedantic(lambda: net(x[:1]), rounds=1)
    assert 0 < forward < both


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_what_a_sample_may_cost(name, benchmark):
    """ImageNet has 1,000 classes."""
    attacks = tier(name, "Linf", 4 / 255, n_classes=1000)
    allowed = [attack.allowed for attack in attacks]
    benchmark.extra_info.update(
        forwards=sum(one.forwards for one in allowed), passes_back=sum(one.backwards for one in allowed)
    )
    benchmark.pedantic(lambda: tier(name, "Linf", 4 / 255), rounds=1)
    assert benchmark.extra_info["forwards"] > 0


def _loss(net, x):
    logits = net(x)
    return functional.cross_entropy(logits, logits.argmax(1))


def _median(step, wants_gradient=None):
    times = []
    with torch.set_grad_enabled(wants_gradient is not None):
        if wants_gradient is not None:
            wants_gradient.requires_grad_(True)
        step()
        began = time.perf_counter()
        while time.perf_counter() - began < SECONDS or len(times) < 3:
            at = time.perf_counter()
            step()
            times.append(time.perf_counter() - at)
    return sorted(times)[len(times) // 2]
