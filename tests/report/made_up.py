"""Made-up results for the tests of policy and reports: a network's outcomes from a seed, or set by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from robustprune.results.costs import Cost
from robustprune.results.records import CaseResult, Check, Outcomes

BLOCKS = [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3)]
CLASSES = ["plane", "car", "bird", "cat"]
CRITERIA = ["cka", "procrustes", "wasserstein", "taylor"]


def statuses(right: Sequence[bool], robust: Sequence[bool], letter: str = "b") -> str:
    return "".join("e" if not ok else "r" if kept else letter for ok, kept in zip(right, robust, strict=True))


def outcome(attack: str, status: str, norm: str = "Linf", eps: float = 8 / 255, **settings: Any) -> Outcomes:
    distance = [eps if letter == "b" else nan for letter in status]
    return Outcomes(
        attack=attack,
        norm=norm,
        eps=eps,
        settings=settings,
        status=status,
        distance=distance,
        steps=[1] * len(status),
    )


def cost(kept: int = 9, latency: Mapping[str, float] | None = None) -> Cost:
    share = (1 + kept) / 10
    latency = latency or {"1": 4.0 * share, "128": 100.0 * share}
    return Cost(
        macs=round(40_000_000 * share),
        params=round(270_000 * share),
        file_bytes=round(1_100_000 * share),
        latency_ms={batch: (0.9 * t, t, 1.2 * t) for batch, t in latency.items()},
        latency_ratio=dict.fromkeys(latency, share),
        memory_bytes=round(20 * 2**20 * share),
        memory_method="largest sum of live tensors in one forward pass",
        threads=1,
        device="cpu",
    )


def case(clean: Sequence[bool], outcomes: Sequence[Outcomes] = (), **fields: Any) -> CaseResult:
    """A result from rows of True and False; everything else has a plain default."""
    n = len(clean)
    basis: dict[str, Any] = {
        "suite": "made up",
        "case": "net/parent",
        "model": "net",
        "strategy": "parent",
        "recipe": "",
        "seed": 0,
        "parent": None,
        "blocks": BLOCKS,
        "removed": [],
        "scores": {},
        "similarity": {},
        "cost": cost(),
        "classes": CLASSES,
        "labels": [index % len(CLASSES) for index in range(n)],
        "clean": list(clean),
        "outcomes": list(outcomes),
        "sample_hash": f"samples{n}",
        "weights_hash": "ab12" * 8,
    }
    return CaseResult(**{**basis, **fields})


def checks(**status: str) -> list[Check]:
    """Checks by number: checks(c2="fail") is check 2, blocking, failed."""
    return [
        Check(number=int(name[1:]), name=f"check {name[1:]}", status=value, evidence="seen", blocking=True)
        for name, value in status.items()
    ]


def drawn(seed: int, base: np.ndarray, loss: float) -> list[bool]:
    """A row like `base` in which a share `loss` of the right ones went wrong and a little came right."""
    rng = np.random.default_rng(seed)
    return np.where(base, rng.random(len(base)) > loss, rng.random(len(base)) < 0.02).tolist()


def whole_suite(
    n: int = 400, seeds: Sequence[int] = (0, 1, 2), models: Sequence[str] = ("resnet20",)
) -> list[CaseResult]:
    """A suite out of a run: parent, dense control, four strategies at two budgets, three attacks."""
    found = []
    for model in models:
        rng = np.random.default_rng(11)
        clean = rng.random(n) < 0.92
        hardness = rng.random(n)
        found.append(_one(model, "parent", 0, 0, clean.tolist(), hardness, 0.0))
        for seed in seeds:
            found.append(_one(model, "dense, fine-tuned", 0, seed, drawn(seed, clean, 0.01), hardness, 0.01))
        for budget in (3, 5):
            for rank, strategy in enumerate(["consensus", "cka", "random", "depth-first"]):
                for seed in seeds:
                    loss = 0.01 * budget + 0.015 * rank
                    right = drawn(100 * rank + 10 * budget + seed, clean, loss)
                    found.append(_one(model, strategy, budget, seed, right, hardness, loss))
    return found


def _one(
    model: str, strategy: str, budget: int, seed: int, clean: list[bool], hardness: np.ndarray, loss: float
) -> CaseResult:
    rng = np.random.default_rng(abs(hash((budget, seed, len(strategy)))) % 2**32)
    kept = np.array(clean) & (hardness + rng.normal(0, 0.05, len(clean)) < 0.7 - loss)
    fgsm, pgd = kept.tolist(), (kept & (hardness < 0.55 - loss)).tolist()
    cw = (kept & (hardness < 0.5 - loss)).tolist()
    chain = "".join("p" if a == "b" else b for a, b in zip(statuses(clean, fgsm), statuses(clean, pgd), strict=True))
    removed = sorted(np.random.default_rng(len(strategy) + seed).permutation(BLOCKS[1:])[:budget].tolist())
    pruned = strategy not in ("parent", "dense, fine-tuned")
    scores = {name: dict(zip(BLOCKS, rng.random(9).tolist(), strict=True)) for name in CRITERIA}
    return case(
        clean,
        [
            outcome("FGSM", statuses(clean, fgsm)),
            outcome("PGD-20", chain, steps=20),
            outcome("CW", statuses(clean, cw), norm="L2", eps=0.5),
        ],
        case=f"{model}/{strategy}-{budget}/seed{seed}" if strategy != "parent" else f"{model}/parent",
        model=model,
        strategy=strategy,
        recipe="" if strategy == "parent" else "sgd-10",
        seed=seed,
        parent=None if strategy == "parent" else f"{model}/parent",
        removed=removed if pruned else [],
        scores=scores if pruned else {},
        combines=strategy == "consensus",
        similarity={b: 1 - 0.05 * i * (strategy != "parent") for i, b in enumerate(BLOCKS) if b not in removed},
        cost=cost(9 - budget),
        checks=[
            Check(
                number=12,
                name="unbounded attack wins",
                status="pass",
                evidence="0 of 64 survive",
                blocking=True,
            ),
            Check(number=16, name="white box beats black box", status="skipped", evidence="Square did not run"),
        ],
        environment={"commit": "0123abc", "torch": "2.14.1", "device": "cpu", "threads": 1},
    )
