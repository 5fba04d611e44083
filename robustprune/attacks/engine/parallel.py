"""Several batches at once on a CPU: one thread a batch serves small networks better than all threads for one.

A small network spends much of a pass in waiting for its slowest thread, layer by layer (and all of them
wait when another program wants a core). So the samples are dealt out to as many workers as there are
threads, each with its own batch and its own exact copies of the network and of the original that judges (so
that a network which keeps state is not disturbed). The deal is fixed in advance and not by who is free, so
that the same seed gives the same batches, and with them the same outcomes to the last bit.
"""

from __future__ import annotations

import copy
import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from robustprune.attacks.contract.found import Found, Passes
from robustprune.attacks.contract.target import Counted, Target
from robustprune.attacks.engine.precision import InBfloat16

FEWEST = 4
"""A worker gets this many samples or more."""

SMALLEST_BATCH = 16
"""A worker's batch is not made smaller than this: the passes would cost more a sample."""

LARGEST_NETWORK = 256 * 2**20
"""Bytes of all copies together; beyond, one batch keeps all threads busy anyway."""

Work = Callable[[Target, Tensor], Found]


def in_parallel(target: Target, keys: Tensor, work: Work) -> Found:
    """Deal the samples out to workers, call `work(target, rows)` for each, and put their findings together.

    `keys` (m,) names the samples by content: they are dealt in the order of the keys, so the order of the
    samples plays no part. `work` gets a target of its own and the rows (k,) it is for.
    """
    order = keys.argsort(stable=True)
    count = workers(target, len(keys))
    copies = fork(target, count)
    if len(copies) < 2:
        found = work(target, order)
        return arranged([(order, found)])
    shares = [order[number :: len(copies)] for number in range(len(copies))]
    found = arranged(list(zip(shares, run_all(target, copies, shares, work), strict=True)))
    for one in copies:
        target.passes.forwards += one.passes.forwards
        target.passes.backwards += one.passes.backwards
    target.batch_size = min(target.batch_size, min(one.batch_size for one in copies) * len(copies))
    return found


def workers(target: Target, samples: int) -> int:
    """Return how many batches to run side by side: 1 on a GPU, at most one a thread on a CPU.

    A random network is attacked by one alone: it draws from generators that all threads share. So is one whose copies
    are another function.
    """
    if target.device.type != "cpu" or target.random or not target.copies:
        return 1
    size = sum(p.numel() * p.element_size() for p in target.model.parameters())
    most = min(torch.get_num_threads(), target.batch_size // SMALLEST_BATCH, samples // FEWEST)
    return max(1, min(most, LARGEST_NETWORK // max(size, 1)))


def fork(target: Target, count: int) -> list[Target]:
    """Return `count` targets that share nothing; [] where the network cannot be copied."""
    if count < 2:
        return []
    made = []
    for _ in range(count):
        passes = Passes()
        try:
            net, original = copy.deepcopy(target.model.net), copy.deepcopy(target.judge.net)
        except Exception:
            return []
        judge = Counted(original, passes, target.device)
        model = Counted(net, passes, target.device).eval()
        low = Counted(InBfloat16(net, target.device), passes, target.device).eval() if target.low else None
        size = target.batch_size // count
        made.append(replace(target, model=model, judge=judge, low=low, passes=passes, batch_size=size))
    return made


def run_all(target: Target, copies: list[Target], shares: list[Tensor], work: Work) -> list[Found]:
    """Run `work` in one thread a copy; progress is reported from this thread. An interrupt stops the workers."""
    threads, news = torch.get_num_threads(), queue.SimpleQueue[int]()

    def one(mine: Target, rows: Tensor) -> Found:
        torch.set_num_threads(max(1, threads // len(copies)))
        return work(replace(mine, tick=news.put), rows)

    try:
        with ThreadPoolExecutor(len(copies)) as pool:
            futures = [pool.submit(one, mine, rows) for mine, rows in zip(copies, shares, strict=True)]
            try:
                wait_for(futures, news, target.tick)
                return [future.result() for future in futures]
            except BaseException:
                target.stop.set()
                raise
    finally:
        torch.set_num_threads(threads)


def wait_for(futures: list[Future[Found]], news: queue.SimpleQueue[int], tick: Callable[[int], None]) -> None:
    """Pass news on until all futures are done; the first exception of a worker ends the wait."""
    for future in futures:
        future.add_done_callback(lambda done: news.put(0))
    while not all(future.done() for future in futures) or not news.empty():
        if decided := news.get():
            tick(decided)
        if any(future.done() and future.exception() for future in futures):
            return


def arranged(parts: list[tuple[Tensor, Found]]) -> Found:
    """Put the findings on parts of the samples, each with its rows, in the order of the samples."""
    rows = torch.cat([part for part, _ in parts])
    back = rows.argsort()
    images = [found.adversarial for _, found in parts if found.adversarial is not None]
    near = [(found.near, found.lead) for _, found in parts if found.near is not None and found.lead is not None]
    return Found(
        success=torch.cat([found.success for _, found in parts])[back],
        distance=torch.cat([found.distance for _, found in parts])[back],
        steps=torch.cat([found.steps for _, found in parts])[back],
        failed=torch.cat([found.failed for _, found in parts])[back],
        adversarial=torch.cat(images)[back] if len(images) == len(parts) else None,
        near=torch.cat([image for image, _ in near])[back] if near else None,
        lead=torch.cat([lead for _, lead in near])[back] if near else None,
        error=next((found.error for _, found in parts if found.error), None),
        notes={name: value for _, found in parts for name, value in found.notes.items()},
    )
