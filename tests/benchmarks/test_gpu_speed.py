"""What a GPU makes of the same attacks: the same robust sets as the processors, and how much sooner.

Run on a machine with a GPU: `ROBUSTPRUNE_DATA=... pytest tests/benchmarks/test_gpu_speed.py --benchmark-json FILE`.
Both sides run in one process. Batches are larger on the GPU, which small ones leave idle.
"""

from dataclasses import dataclass

import pytest
import torch
import torchattacks
from pass_times import table
from test_engine_speed import all_cores, images, network, timed

from robustprune.attacks import FGSM, PGD, Attack, autoattack_standard, evaluate, tier

__all__ = ["all_cores"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Setting:
    network: str
    attacks: tuple[Attack, ...]
    images: int
    apart: int
    """Of so many samples at most the two devices may judge differently: their sums are rounded differently."""
    on_cpu: bool = True


SETTINGS = {
    "resnet4b, quick": Setting(network="resnet4b", attacks=tier("quick", "Linf", 8 / 255), images=500, apart=1),
    "resnet4b, AutoAttack": Setting(
        network="resnet4b", attacks=tuple(autoattack_standard("Linf", 8 / 255)), images=500, apart=0, on_cpu=False
    ),
    "ResNet-56, quick": Setting(network="resnet56", attacks=tier("quick", "Linf", 1 / 255), images=300, apart=2),
}


def robust(found):
    return {i for i in range(len(found.clean)) if all(one.robust[i] for one in found.outcomes)}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_samples_resist(name, benchmark):
    setting = SETTINGS[name]
    net, (x, y) = network(setting.network), images()
    x, y = x[: setting.images], y[: setting.images]

    def attack(device, batch):
        found = evaluate(net, x, y, setting.attacks, device=torch.device(device), batch_size=batch)
        torch.cuda.synchronize()
        return found

    attack("cuda", BATCH)
    found = benchmark.pedantic(lambda: attack("cuda", BATCH), rounds=2)
    seconds = benchmark.stats.stats.median
    facts = {
        "gpu": torch.cuda.get_device_name(),
        "images": len(x),
        "robust": len(robust(found)),
        "seconds": round(seconds, 2),
        "seconds_batch_128": round(timed(lambda: attack("cuda", 128))[0], 2),
        "forwards": sum(one.forwards for one in found.outcomes),
        "backwards": sum(one.backwards for one in found.outcomes),
    }
    if setting.on_cpu:
        on_cpu, there = timed(lambda: attack("cpu", 128))
        facts |= {
            "cores": torch.get_num_threads(),
            "cpu_seconds": round(on_cpu, 2),
            "times_the_cpu": round(on_cpu / seconds, 1),
            "robust_cpu": len(robust(there)),
            "apart": len(robust(found) ^ robust(there)),
        }
    benchmark.extra_info.update(facts)
    print(name, facts)
    assert facts.get("apart", 0) <= setting.apart


def test_against_a_plain_loop(benchmark):
    """FGSM and PGD-20 on ResNet-56 as one writes them with torchattacks, both on the GPU in batches of one size."""
    net, (x, y) = network("resnet56").cuda(), images()
    eps, attacks = 1 / 255, [FGSM(eps=1 / 255), PGD(eps=1 / 255, steps=20)]

    def loop():
        with torch.no_grad():
            kept = torch.cat([net(part.cuda()).argmax(1).cpu() for part in x.split(BATCH)]) == y
        for attack in (torchattacks.FGSM(net, eps=eps), torchattacks.PGD(net, eps=eps, steps=20)):
            for part, rows in zip(x.split(BATCH), torch.arange(len(x)).split(BATCH), strict=True):
                adv = attack(part.cuda(), y[rows].cuda())
                with torch.no_grad():
                    kept[rows] &= net(adv).argmax(1).cpu() == y[rows]
        torch.cuda.synchronize()
        return kept

    loop()
    loop_seconds, loop_robust = timed(loop)

    def engine():
        return evaluate(net, x, y, attacks, device=torch.device("cuda"), batch_size=BATCH)

    engine()
    found = benchmark.pedantic(engine, rounds=3)
    facts = {
        "loop_seconds": round(loop_seconds, 2),
        "engine_seconds": round(benchmark.stats.stats.median, 2),
        "robust": len(robust(found)),
        "loop_robust": int(loop_robust.sum()),
    }
    benchmark.extra_info.update(facts)
    print(facts)
    assert facts["robust"] <= facts["loop_robust"]


def test_a_pass_in_several_ways():
    """Milliseconds of a forward and backward pass; each is the fastest of some."""
    made = table("cuda")
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, milliseconds\n{made}")
    assert "Error" not in made
