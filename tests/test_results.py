import gzip
import json
import math
from dataclasses import replace

import pytest

from robustprune import results
from robustprune.errors import InputError
from robustprune.results import CaseResult, Check, Cost, Outcomes

COST = Cost(
    macs=100,
    params=10,
    file_bytes=40,
    latency_ms={"1": (1.0, 2.0, 3.0)},
    latency_ratio={"1": 0.5},
    memory_bytes=1000,
    memory_method="counted",
    threads=1,
    device="cpu",
)
FGSM = Outcomes(
    attack="FGSM",
    norm="Linf",
    eps=0.1,
    settings={},
    status="erbb",
    distance=[math.nan, math.nan, 0.1, 0.05],
    steps=[0, 1, 1, 1],
)
PGD = replace(FGSM, attack="PGD-20", status="ebpp", distance=[math.nan, 0.1, math.nan, math.nan], steps=[0, 9, 0, 0])
CASE = CaseResult(
    suite="s",
    case="net/parent",
    model="net",
    strategy="parent",
    recipe="",
    seed=0,
    parent=None,
    blocks=["a", "b"],
    removed=[],
    scores={"cka": {"a": 0.5}},
    similarity={},
    cost=COST,
    classes=["0", "1"],
    labels=[0, 0, 1, 1],
    clean=[False, True, True, True],
    outcomes=[FGSM],
    checks=[Check(number=3, name="budget kept", status="pass", evidence="largest 0.1")],
)


def test_save_and_load_are_inverse(tmp_path):
    results.save([CASE], tmp_path / "x.json.gz")
    (back,) = results.load(tmp_path / "x.json.gz")
    assert results.to_record(back) == results.to_record(CASE)
    assert math.isnan(back.outcomes[0].distance[0])
    assert back.cost == COST
    assert back.checks == CASE.checks


def test_the_same_results_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        results.save([CASE], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_clean_error_is_not_robust_and_the_worst_case_is_over_all_attacks():
    assert FGSM.robust == [False, True, False, False]
    assert CASE.worst == [False, True, False, False]
    assert replace(CASE, outcomes=[FGSM, PGD]).worst == [False, False, False, False]
    assert replace(CASE, outcomes=[]).worst == CASE.clean


def test_a_sample_that_could_not_be_attacked_is_not_robust():
    assert replace(FGSM, status="rrrf").robust == [True, True, True, False]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-20], lambda b: b[:30] + b"xx" + b[32:], lambda b: b"", lambda b: b"hello"]
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "x.json.gz"
    results.save([CASE], path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"x\.json\.gz"):
        results.load(path)


def test_a_file_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"schema": 99, "cases": []}).encode()))
    with pytest.raises(InputError, match="schema 99, expected 1"):
        results.load(path)


def test_missing_results_say_what_makes_them(tmp_path):
    with pytest.raises(InputError, match="robustprune run"):
        results.load(tmp_path / "none")
