"""Made-up results of whole suites for a contest: parents, seeds, numbers of blocks, strategies of known worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import made_up
import numpy as np

from robustprune.results.records import CaseResult
from robustprune.results.seen import seen

WORTH = {"robust-consensus": 0.0, "consensus": 0.0, "cka": 0.0, "taylor": 0.0, "random": 0.0, "depth-first": 0.0}

LIMIT = made_up.BLOCKS[1:7]
"""Blocks that are all that can go."""


def suite(
    name: str = "one",
    worth: Mapping[str, float | Mapping[str, float]] | None = None,
    *,
    families: Sequence[str] = ("net", "net-at"),
    parents: int = 2,
    seeds: int = 2,
    budgets: Sequence[int] = (1, 2),
    n: int = 80,
    same: Mapping[str, str] | None = None,
    draws: int = 3,
) -> list[CaseResult]:
    """A suite whose strategies keep 50 % of the samples robust plus their worth, which may differ by family.

    `same` says whose blocks, and so whose networks, a strategy has. Random has so many `draws`, each a seed.
    """
    rng = np.random.default_rng(sum(map(ord, name)))
    hard = rng.random(n)
    found = []
    for family in families:
        for parent in range(parents):
            model = f"{family}-{parent}"
            common: dict[str, Any] = {"suite": name, "model": model, "family": family, "sample_hash": f"images {name}"}
            found.append(
                _case(hard < 0.9, hard < 0.6, case=f"{model}/parent", weights_hash=f"{name} {model}", **common)
            )
            made: dict[tuple[str, int, int], CaseResult] = {}
            for strategy, more in {**WORTH, **(worth or {})}.items():
                for count in budgets:
                    for seed in range(draws if strategy == "random" else seeds):
                        gain = more if isinstance(more, float) else more[family]
                        fields = _fields(model, strategy, count, seed, rng) | common
                        twin = made.get(((same or {}).get(strategy, ""), count, seed))
                        if twin is None:
                            kept = hard + 0.1 * rng.normal(size=n) < 0.5 + gain
                            case = _case((hard + 0.1 * rng.normal(size=n) < 0.9) | kept, kept, **fields)
                        else:
                            fields["removed"] = twin.removed
                            case = made_up.case(twin.clean, twin.outcomes, **fields)
                        made[strategy, count, seed] = case
                        found.append(case)
    return found


def networks(*suites: Sequence[CaseResult]):
    return [one for cases in suites for one in seen(cases)]


def _case(clean: Any, kept: Any, **fields: Any) -> CaseResult:
    right, robust = clean.tolist(), kept.tolist()
    return made_up.case(right, [made_up.outcome("PGD", made_up.statuses(right, robust))], **fields)


def _fields(model: str, strategy: str, count: int, seed: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "case": f"{model}/{strategy}-{count}/ft/seed{seed}",
        "strategy": strategy,
        "recipe": "ft",
        "seed": seed,
        "parent": f"{model}/parent",
        "removed": sorted(rng.choice(made_up.BLOCKS, count, replace=False).tolist()),
        "combines": "consensus" in strategy,
        "cost": made_up.cost(9 - count),
    }
