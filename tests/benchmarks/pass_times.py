"""Milliseconds of a forward and backward pass, made in several ways, as a Markdown table.

`python tests/benchmarks/pass_times.py` prints it for the GPU, or for the processor where there is none.
"""

import time

import torch
from replayed import both_ways, replayed

from robustprune.attacks.engine.guard import exact_cuda
from robustprune.attacks.engine.precision import InBfloat16
from robustprune.models.resnet import CifarResNet, resnet4b

NETWORKS = {
    "ResNet-20, width 8, 1x28x28": (lambda: CifarResNet(depth=20, width=8, in_channels=1), (1, 28, 28)),
    "ResNet-20, width 16, 1x28x28": (lambda: CifarResNet(depth=20, width=16, in_channels=1), (1, 28, 28)),
    "resnet4b, 3x32x32": (resnet4b, (3, 32, 32)),
    "ResNet-56, width 16, 3x32x32": (lambda: CifarResNet(depth=56, width=16), (3, 32, 32)),
}
BATCHES = (128, 500, 1000)
WAYS = ("eager", "channels_last", "graph", "compiled", "bfloat16")
ROUNDS = 10


def milliseconds(work, device, rounds=ROUNDS):
    """The fastest of some rounds, after one that does not count."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times = []
    for _ in range(rounds + 1):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(1000 * (time.perf_counter() - start))
    return min(times[1:])


def way(name, net, x):
    """The network as a function, and the seconds that making it took."""
    start = time.perf_counter()
    if name == "channels_last":
        net = net.to(memory_format=torch.channels_last)
    elif name == "graph":
        net = replayed(net, x)
    elif name == "compiled":
        net = torch.compile(net)
        both_ways(net, x)
    elif name == "bfloat16":
        net = InBfloat16(net, x.device)
    return net, time.perf_counter() - start


def rows(device, networks, batches, rounds=ROUNDS, compiled=("ResNet-20",)):
    """One row a network and batch: its name, the batch, and for each way the milliseconds or what went wrong."""
    for name, (build, shape) in networks.items():
        for batch in batches:
            x, cells = torch.rand(batch, *shape, device=device), []
            for kind in WAYS:
                if (kind == "graph" and device.type != "cuda") or (
                    kind == "compiled" and not name.startswith(compiled)
                ):
                    cells.append("")
                    continue
                net = build().to(device).eval().requires_grad_(False)
                try:
                    made, seconds = way(kind, net, x)
                    took = milliseconds(lambda made=made, x=x: both_ways(made, x), device, rounds)
                    cells.append(f"{took:.2f}" + (f" (made in {seconds:.0f} s)" if kind == "compiled" else ""))
                except Exception as error:
                    cells.append(f"{type(error).__name__}: {error!s:.40}".replace("\n", " "))
            yield [name, str(batch), *cells]


def table(device, networks=NETWORKS, batches=BATCHES, **settings):
    """All rows as Markdown; on a GPU in true float32, as attacks run."""
    head = ["network", "batch", *WAYS]
    with exact_cuda():
        found = [head, ["---"] * len(head), *rows(torch.device(device), networks, batches, **settings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in found)


if __name__ == "__main__":
    print(table("cuda" if torch.cuda.is_available() else "cpu"))
