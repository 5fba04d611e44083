"""Checks of what is said about a number, from outcomes written by hand."""

import math

import pytest
import torch
from small_nets import Digits, bare_context, context
from torch import nn

from robustprune.attacks import PGD, TorchAttack
from robustprune.attacks.algorithms.tiers import tier
from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.evidence import claims, comparison
from robustprune.evidence.training_data import read_hashes
from robustprune.results.records import Outcomes

NAN = math.nan


def ran(status: str, attack: str = "PGD-20", eps: float = 8 / 255, norm: str = "Linf", **more) -> Outcomes:
    n = len(status)
    distance = [eps / 2 if letter == "b" else NAN for letter in status]
    given = {"knowledge": "white box", "objective": "cross-entropy", "budget": {"steps": 20}, "settings": {}, **more}
    return Outcomes(attack=attack, norm=norm, eps=eps, status=status, distance=distance, steps=[1] * n, **given)


def as_declared(status: str, attack) -> Outcomes:
    """What the engine would write down about this attack."""
    declared = {"knowledge": attack.knowledge, "objective": attack.objective, "budget": attack.budget}
    return ran(status, attack.name, attack.eps, attack.norm, settings=attack.settings, **declared)


def about(outcomes: list[Outcomes], labels: list[int] | None = None, **more):
    """A context for n images of nothing; these checks never look at them."""
    n = len(outcomes[0].status) if outcomes else 10
    y = torch.tensor(labels or [0] * n)
    data = Digits(torch.zeros(1), torch.zeros(1), torch.zeros(n, 1, 2, 2), y)
    return bare_context(nn.Flatten(), data, **{"attacks": (PGD(eps=8 / 255),), "outcomes": outcomes, **more})


def test_threat_model_needs_knowledge_and_budget():
    assert claims.threat_model_complete(about([ran("rb"), ran("rp", "homemade")])).status == "pass"
    seen = claims.threat_model_complete(about([ran("rb"), ran("rb", "PGD-50", knowledge="", budget={})]))
    assert (seen.number, seen.status) == (1, "fail")
    assert "; PGD-50: knowledge, step or query budget" in seen.evidence
    seen = claims.threat_model_complete(about([ran("rb", "FGSM", budget={})]))
    assert (seen.status, seen.evidence) == ("fail", "Linf 8/255; FGSM: step or query budget")
    assert claims.threat_model_complete(about([])).status == "skipped"


def test_an_attack_of_ones_own_states_its_threat_model():
    mine = TorchAttack(name="mine", build=lambda model: model, eps=0.1, climbs="margin")
    outcomes = [ran("rr", eps=0.1), as_declared("rb", mine)]
    assert claims.threat_model_complete(about(outcomes)).status == "pass"
    assert claims.more_than_one_loss(about(outcomes)).evidence == "cross-entropy: PGD-20; margin: mine"


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_every_attack_of_the_tiers_states_its_threat_model(norm):
    outcomes = [as_declared("rb", attack) for attack in tier("full", norm, 0.1, parent=object())]
    assert claims.threat_model_complete(about(outcomes)).status == "pass"
    assert claims.more_than_one_loss(about(outcomes)).status == "pass"


@pytest.mark.parametrize(
    ("objectives", "status"),
    [
        (["cross-entropy"], "fail"),
        (["margin"], "fail"),
        (["cross-entropy", "margin"], "pass"),
        (["cross-entropy", "none"], "fail"),
        (["margin", ""], "fail"),
    ],
)
def test_more_than_one_loss(objectives, status):
    """Whatever the attacks are called: each is named as if it were on a margin."""
    outcomes = [ran("rb", f"CW-{i}", objective=objective) for i, objective in enumerate(objectives)]
    seen = claims.more_than_one_loss(about(outcomes))
    assert (seen.number, seen.status, seen.blocking) == (19, status, False)


def test_a_loss_that_ended_in_an_error_does_not_count():
    outcomes = [ran("rb"), ran("ff", "CW-50", objective="margin", error="RuntimeError")]
    assert claims.more_than_one_loss(about(outcomes)).status == "fail"


def test_misclassified_must_be_counted():
    outcomes = [ran("erb"), ran("erp", "PGD-20 margin")]
    fine = claims.misclassified_counted(about(outcomes, clean=[False, True, True]))
    assert fine.status == "pass"
    assert "robust 1 of 3" in fine.evidence
    assert "1 of 2" in fine.evidence
    for clean, status in (([True, True, True], "erb"), ([False, True, True], "rrb"), ([True, True], "rb")):
        seen = claims.misclassified_counted(about([ran("erb"), ran(status)], clean=clean))
        assert (seen.number, seen.status, seen.blocking) == (21, "fail", True)
    assert claims.misclassified_counted(about(outcomes)).status == "skipped"


def test_sample_size_against_the_margin():
    """Wilson's half-width at k = 50 of 100 is z / sqrt(n + z²) / 2 = 9.6 points."""
    half = 1.959964 / math.sqrt(100 + 1.959964**2) / 2
    outcomes = [ran("r" * 50 + "b" * 50)]
    assert comparison.sample_size(about(outcomes, margin=half + 1e-4)).status == "pass"
    assert comparison.sample_size(about(outcomes, margin=half - 1e-4)).status == "fail"
    assert comparison.sample_size(about(outcomes)).status == "skipped"


@pytest.mark.parametrize(
    ("lost", "gained", "claim", "status"),
    [
        (6, 0, "claimed worse", "pass"),
        (0, 6, "claimed better", "pass"),
        (5, 0, "claimed worse", "fail"),
        (0, 5, "claimed better", "fail"),
        (4, 0, "claimed worse", "fail"),
        (3, 0, "nothing claimed", "pass"),
        (6, 6, "nothing claimed", "pass"),
    ],
)
def test_a_claim_needs_exact_mcnemar(lost, gained, claim, status):
    """With b samples lost and none gained Tango's 95 % interval leaves out 0 where b / sqrt(b) > 1.96, so from 4 on.

    Exact McNemar needs 6: 2 x 0.5^6 = 0.031 is enough, 2 x 0.5^5 = 0.0625 is not.
    """
    parent = [True] * lost + [False] * gained + [True] * 80
    child = "b" * lost + "r" * gained + "r" * 80
    seen = comparison.paired_claim(about([ran(child)], parent_robust=parent))
    assert (seen.number, seen.status, seen.blocking) == (23, status, False)
    assert seen.evidence.endswith(claim)
    assert comparison.paired_claim(about([ran(child)])).status == "skipped"


def test_worst_case_over_the_chain_is_what_is_compared():
    """The second sample is broken by the second attack alone; the first by the first, so it has 'p' later."""
    ctx = about([ran("brr"), ran("pbr", "PGD-20 margin")], parent_robust=[False, False, True])
    assert "0 samples gained, 0 lost" in comparison.paired_claim(ctx).evidence


@pytest.mark.parametrize(("runs", "status"), [(None, "skipped"), (2, "fail"), (3, "pass")])
def test_runs(runs, status):
    assert comparison.enough_runs(about([ran("rb")], runs=runs)).status == status


def test_class_floor():
    labels = [0] * 40 + [1] * 40
    parent = [True] * 80
    held = about([ran("r" * 80)], labels, parent_robust=parent, margin=0.02)
    assert comparison.class_floor(held).status == "pass"
    few = about([ran("b" + "r" * 79)], labels, parent_robust=parent, margin=0.02)
    assert comparison.class_floor(few).status == "skipped"
    assert "too few" in comparison.class_floor(few).evidence
    gone = about(
        [ran("r" * 40 + "b" * 20 + "r" * 20)],
        labels,
        parent_robust=parent,
        margin=0.02,
        classes=("cat", "dog"),
    )
    seen = comparison.class_floor(gone)
    assert (seen.number, seen.status, seen.blocking) == (26, "fail", False)
    assert "worst class dog: robust 50.0 % of 40" in seen.evidence
    assert comparison.class_floor(about([ran("rb")])).status == "skipped"


def test_data_hygiene():
    ctx = about([ran("rb")], sample_hashes=["a", "b"], used_hashes={"scoring": {"c"}, "training": ["d", "e"]})
    assert claims.data_hygiene(ctx).status == "pass"
    ctx = about([ran("rb")], sample_hashes=["a", "b"], used_hashes={"scoring": {"c"}, "training": ["b", "e"]})
    seen = claims.data_hygiene(ctx)
    assert (seen.number, seen.status, seen.blocking) == (27, "fail", True)
    assert "training: 1 of 2 shared" in seen.evidence
    for known in (None, {}, {"scoring": {"c"}}):
        seen = claims.data_hygiene(about([ran("rb")], sample_hashes=["a", "b"], used_hashes=known))
        assert seen.status == "skipped", known
    assert "unknown what the network was trained on" in seen.evidence
    scored = about([ran("rb")], sample_hashes=["a", "b"], used_hashes={"scoring": {"b"}})
    assert claims.data_hygiene(scored).status == "fail"


def test_the_hashes_of_training_data_are_read_from_a_file(tmp_path):
    split = Split(torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64))
    file = tmp_path / "training.txt"
    file.write_text("\n".join(split.hashes()) + "\n\n")
    assert read_hashes(file) == split.hashes()
    for text, words in (("", "no hashes"), ("0123456789abcdef\ncat.png", "line 2")):
        file.write_text(text)
        with pytest.raises(InputError, match=words):
            read_hashes(file)
    with pytest.raises(InputError, match="no such file"):
        read_hashes(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    "spoilt",
    [ran("rf"), ran("r"), ran("rb", error="RuntimeError: no kernel")],
    ids=["failed", "short", "error"],
)
def test_incomplete_runs_block(spoilt):
    assert claims.complete(about([ran("rb")])).status == "pass"
    seen = claims.complete(about([ran("rb"), spoilt]))
    assert (seen.number, seen.status, seen.blocking) == (28, "fail", True)


def test_provenance_names_what_is_missing():
    record = {"weights": "a", "samples": "b", "torch": "2", "torchattacks": "3.5.1", "device": "cpu"}
    noted = [ran("rb", notes={"precision": "float32"}), ran("rr", "FGSM", notes={"precision": "float32"})]
    assert claims.provenance(about(noted, provenance=record)).status == "pass"
    for key in record:
        seen = claims.provenance(about(noted, provenance={**record, key: None}))
        assert (seen.number, seen.status, seen.evidence.count(",")) == (29, "fail", 0)
    assert claims.provenance(about(noted)).status == "skipped"


def test_precision_is_what_the_engine_noted_for_every_attack():
    """A constant in the caller's record says nothing about how the attacks ran."""
    record = {"weights": "a", "samples": "b", "torch": "2", "torchattacks": "3.5.1", "device": "cpu"}
    noted = ran("rb", notes={"precision": "float32"})
    seen = claims.provenance(about([noted, ran("rr", "FGSM")], provenance={**record, "precision": "float32"}))
    assert (seen.status, seen.evidence) == ("fail", "not recorded: precision")


def test_engine_and_environment_record_enough(linear, data):
    from robustprune.machine import environment

    few = Digits(data.train_x, data.train_y, data.x[:5], data.y[:5])
    ctx = context(linear, few, provenance={**environment("cpu"), "weights": "a", "samples": "b"})
    assert claims.provenance(ctx).status == "pass", claims.provenance(ctx).evidence
