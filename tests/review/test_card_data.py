"""The head of a model card, read by Hugging Face's own library, and by a YAML reader."""

from __future__ import annotations

import re

import pytest
from made_review import side

from robustprune.results.statistics import wilson
from robustprune.ship.card import model_card
from robustprune.ship.card_data import card_data, front_matter

STRANGE = 'digits: "8 x 8" # of {scikit} - learn\n--- \\ \u00e9'


def case(**fields):
    return side(60, "small", parent="big", **fields)


def test_hugging_face_reads_every_measured_number():
    hub = pytest.importorskip("huggingface_hub", reason="the card's reader is not installed")
    card = hub.ModelCard(model_card(case(), side(0, "big")))
    found = {one.metric_name: one for one in card.data.eval_results}
    assert set(found) == {
        "clean accuracy",
        "robust accuracy, PGD-20, Linf 8/255",
        "robust accuracy, worst case",
    }
    worst = found["robust accuracy, worst case"]
    # 81 of 200, see made_review: 180 are right, 99 of them among the first 110, which break
    low, high = wilson(81, 200)
    assert worst.metric_value == 0.405
    assert worst.metric_args == {
        "n": 200,
        "low": round(low, 6),
        "high": round(high, 6),
        "confidence": 0.95,
        "bound": "upper",
    }
    assert (worst.metric_type, worst.task_type, worst.dataset_revision) == (
        "robust_accuracy",
        "image-classification",
        "5a" * 32,
    )
    assert found["clean accuracy"].metric_value == 0.9
    assert (card.data.model_name, card.data.pipeline_tag) == ("small", "image-classification")
    assert card.text.strip().startswith("## Evaluation: layer pruning and adversarial robustness")
    again = hub.ModelCard(str(card))
    assert [one.metric_value for one in again.data.eval_results] == [one.metric_value for one in card.data.eval_results]


@pytest.mark.parametrize("name", [STRANGE, "yes", "1e3", "null", "- a", "'", "a: b", "\U0001f600 \x7f\x85", "digits"])
def test_names_from_outside_stay_texts(name):
    yaml = pytest.importorskip("yaml", reason="no YAML reader is installed")
    strange = case(environment={"data": name})
    head = front_matter(strange)
    assert re.fullmatch(r"---\n(?!---).*\n---\n", head, re.DOTALL)
    assert head.count("\n---") == 1
    assert yaml.safe_load(head.split("\n---")[0]) == card_data(strange)


def test_the_head_is_written_in_block_style():
    lines = front_matter(case()).splitlines()
    assert lines[:4] == ["---", 'pipeline_tag: "image-classification"', "tags:", '  - "adversarial-robustness"']
    assert '  - name: "small"' in lines
    assert '          - type: "accuracy"' in lines
