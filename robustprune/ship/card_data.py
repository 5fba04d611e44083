"""The head of a model card, which the tools of Hugging Face read: what was measured, as a `model-index`.

It is YAML, written so that every text stands in quotes as JSON has them, which YAML reads alike. Values are shares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from robustprune.report.markdown import printable
from robustprune.results.claims import CLEAN, claims, named, share
from robustprune.results.records import CaseResult
from robustprune.results.statistics import wilson

TASK = "image-classification"
TAGS = ("adversarial-robustness", "layer-pruning", "robustprune")
DIGITS = 6
"""After the point."""


def front_matter(case: CaseResult) -> str:
    """Write the head of a card, from `---` to `---`."""
    return "\n".join(["---", *_yaml(card_data(case)), "---"]) + "\n"


def card_data(case: CaseResult) -> dict[str, Any]:
    """Return what the head says, as plain data."""
    data = printable(str(case.environment.get("data") or case.suite))
    result = {
        "task": {"type": TASK, "name": "Image classification"},
        "dataset": {"type": [*data.split(), "images"][0], "name": data, "split": "test", "revision": case.sample_hash},
        "metrics": [*_metrics(case)],
    }
    return {
        "pipeline_tag": TASK,
        "tags": [*TAGS],
        "metrics": ["accuracy"],
        "model-index": [{"name": printable(case.case), "results": [result]}],
    }


def _metrics(case: CaseResult) -> Iterator[dict[str, Any]]:
    """Yield every claim with its interval; of a robust accuracy also that it is an upper bound."""
    for claim, row in claims(case).items():
        low, high = wilson(sum(row), len(row))
        clean = claim == CLEAN
        about = {"n": len(row), "low": round(low, DIGITS), "high": round(high, DIGITS), "confidence": 0.95}
        yield {
            "type": "accuracy" if clean else "robust_accuracy",
            "name": named(claim),
            "value": round(share(row), DIGITS),
            "args": about if clean else about | {"bound": "upper"},
        }


def _yaml(content: Any) -> Iterator[str]:
    """Yield plain data as lines of YAML in block style; a text or a number is one line."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            lines = [*_yaml(value)]
            nested = isinstance(value, Mapping | list)
            yield f"{key}:" if nested else f"{key}: {lines[0]}"
            yield from (f"  {line}" for line in lines[not nested :])
    elif isinstance(content, list):
        for value in content:
            first, *others = _yaml(value)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield json.dumps(content, ensure_ascii=False)
