"""The same answers on a GPU: known ones exactly, those of networks as on the processors."""

import numpy as np
import pytest
import torch
from mini_suite import write_mini
from torch import nn

from robustprune.attacks import PGD, autoattack_standard, evaluate, tier
from robustprune.attacks.engine.evaluate import target_for
from robustprune.attacks.engine.settings import Settings
from robustprune.cost.latency import latency
from robustprune.data import digits
from robustprune.models import CifarResNet, find_blocks, load_weights
from robustprune.prune import remove
from robustprune.run.shelf import measure_suite, shelf
from robustprune.suite.files import open_suite

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def pictures(n, seed=0, side=16):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def small():
    torch.manual_seed(0)
    return CifarResNet(depth=20, width=8).eval()


def robust(net, x, y, attacks, device, batch=64):
    found = evaluate(net, x, y, attacks, device=device, batch_size=batch)
    return np.all([one.robust for one in found.outcomes], axis=0)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_linear_network_is_attacked_exactly(norm):
    """Where no pixel reaches a border, a sample breaks where its margin is below eps times the dual norm: half do."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2, bias=False))
    x = 0.3 + 0.4 * pictures(200, side=8)
    with torch.no_grad():
        z, gap = net(x), net[1].weight[0] - net[1].weight[1]
    y, size = z.argmax(1), gap.abs().sum() if norm == "Linf" else gap.norm()
    distance = (z[:, 0] - z[:, 1]).abs() / size
    eps = float(distance.median())
    clear = (distance / eps - 1).abs() > 0.01
    got = robust(net, x, y, [PGD(eps=eps, norm=norm, steps=50)], CUDA)
    wanted = (distance > eps).numpy()
    assert 0.4 < wanted.mean() < 0.6
    assert (got == wanted)[clear.numpy()].all()


@pytest.mark.parametrize(
    "attacks", [tier("quick", "Linf", 16 / 255), tuple(autoattack_standard("L2", 0.5))[:3]], ids=len
)
def test_the_verdicts_are_those_of_the_processors(attacks):
    """On a trained network; sums are rounded differently, so one sample that resists narrowly may differ."""
    model, sample = open_suite("suites/digits.py").cases[0].model, digits().test.balanced(40, seed=0)
    net = load_weights(model.build(), f"suites/{model.weights}").eval()
    here, there = (robust(net, sample.x, sample.y, attacks, device) for device in (CPU, CUDA))
    assert 0 < here.sum() < len(sample)
    assert (here != there).sum() <= 1
    assert (robust(net, sample.x, sample.y, attacks, CUDA) == there).all()


def test_a_removed_block_is_the_identity():
    net, x = small().cuda(), pictures(4).cuda()
    block = find_blocks(net, x[:1])[1]
    pruned = remove(net, [block.name], x[:1])
    last = dict(net.named_modules())[block.name]
    handle = last.register_forward_hook(lambda module, given, out: given[0])
    with torch.no_grad():
        wanted = net(x)
    handle.remove()
    with torch.no_grad():
        torch.testing.assert_close(pruned(x), wanted, rtol=1e-5, atol=1e-5)


def test_latency_waits_for_the_gpu():
    """A network that is thrice as wide and runs on more pictures takes longer: times are of work, not of launches."""
    x = pictures(64, side=32).cuda()
    heavy = nn.Sequential(*[nn.Conv2d(3, 512, 3, padding=1), *[nn.Conv2d(512, 512, 3, padding=1) for _ in range(8)]])
    light = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1))
    slow, fast = (np.median(latency(net.cuda().eval(), x, seconds=0.3)) for net in (heavy, light))
    assert slow > 3 * fast


def test_a_suite_is_measured_alike_by_one_process_and_by_three(tmp_path):
    suite = open_suite(str(write_mini(tmp_path)))
    results = []
    for workers in (1, 3):
        place = shelf(suite, tmp_path / str(workers))
        results.append(measure_suite(suite, place, device="cuda", workers=workers))
    one, three = results
    assert [case.environment["device"] for case in one] == ["cuda"] * len(one)
    assert [(case.clean, case.outcomes, case.weights_hash) for case in one] == [
        (case.clean, case.outcomes, case.weights_hash) for case in three
    ]
    failed = [check for case in one for check in case.checks if check.evidence.startswith("could not be carried out")]
    assert not failed


def test_a_batch_is_as_large_as_memory_allows():
    with target_for(small().cuda(), pictures(2000), Settings()) as target:
        assert 256 <= target.batch_size <= 1024
    with target_for(small().cuda(), pictures(2000), Settings(batch_size=40)) as target:
        assert target.batch_size == 40
