import gzip
import json
import math
from dataclasses import replace

import pytest

from robustprune import results
from robustprune.errors import InputError
from robustprune.results import sound
from robustprune.results.claims import by_class, claims, headlines, measures, right, shared
from robustprune.results.costs import Cost
from robustprune.results.records import CaseResult, Check, Outcomes, from_record, to_record

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
    assert to_record(back) == to_record(CASE)
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


def stored(tmp_path, change):
    """A results file in which `change` was made to the content."""
    path = tmp_path / "x.json.gz"
    content = {"schema": 1, "cases": [to_record(CASE)], "accepted": []}
    content = json.loads(json.dumps(content))
    change(content)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("cost", "latency_ms"), [1, 2, 3], r"cases\[0\]: cost.latency_ms=\[1, 2, 3\], expected a dict"),
        (("cost", "latency_ms"), {"1": [1.0, 2.0]}, r"cost.latency_ms\['1'\]=.*expected 3 values"),
        (("cost", "macs"), None, "cost.macs=None, expected a whole number"),
        (("cost", "params"), True, "cost.params=True"),
        (("trust",), "HACKED", "trust='HACKED', expected 'TRUSTED' or"),
        (("outcomes", 0, "eps"), "0.1", r"outcomes\[0\].eps='0.1', expected a number"),
        (("outcomes", 0, "eps"), -0.1, r"eps=-0.1, expected 0 or more"),
        (("outcomes", 0, "status"), "er", "status of FGSM.* has 2 values, expected 4"),
        (("outcomes", 0, "status"), "exbb", r"outcomes\[0\].status='exbb', expected letters of"),
        (("outcomes", 0, "steps"), [1], "steps of FGSM.* has 1 values"),
        (("outcomes", 0, "distance"), ["a"] * 4, r"distance\[0\]='a', expected a number"),
        (("outcomes",), "none", "outcomes='none', expected a list"),
        (("outcomes",), [1], r"outcomes\[0\]=1, expected an Outcomes"),
        (("labels",), [0, 0, 1, -1], r"labels\[3\]=-1, expected 0, 1, 2"),
        (("labels",), [0], "clean has 4 values, expected 1"),
        (("clean",), [1, 0, 1, 1], r"clean\[0\]=1, expected True or False"),
        (("blocks",), ["a", "a"], "blocks: a stands there twice"),
        (("removed",), ["c"], "removed: 'c' is none of its blocks"),
        (("checks", 0, "status"), "maybe", r"checks\[0\].status='maybe'"),
        (("model",), "\x1b[31mnet", "model=.*expected one line of printable"),
        (("scores",), {"cka": {"a": "high"}}, r"scores\['cka'\]\['a'\]='high'"),
        (("colour",), "red", "colour='red', expected the fields of CaseResult; this one is unknown"),
    ],
)
def test_a_stored_value_that_cannot_be_is_refused_with_its_place(tmp_path, place, value, said):
    def change(content):
        *path, last = ("cases", 0, *place)
        for step in path:
            content = content[step]
        content[last] = value

    with pytest.raises(InputError, match=said) as error:
        results.load(stored(tmp_path, change))
    assert "x.json.gz" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["cases"][0].pop("labels"),
        lambda content: content.pop("cases"),
        lambda content: content.update(cases={"net": 1}),
        lambda content: content["cases"].append(content["cases"][0]),
        lambda content: content["cases"].append(None),
    ],
)
def test_what_is_missing_or_stands_there_twice_is_refused(tmp_path, change):
    with pytest.raises(InputError, match=r"x\.json\.gz"):
        results.load(stored(tmp_path, change))


def test_what_was_accepted_is_refused_where_it_makes_no_sense(tmp_path):
    with pytest.raises(InputError, match=r"accepted\[0\]"):
        results.load_accepted(stored(tmp_path, lambda content: content.update(accepted=[{"case": 1}])))


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[]", b"3", b'{"schema": [[1]]}', b"not json", b"\xff\xfe"])
def test_other_json_is_refused_however_deep(tmp_path, text):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(text))
    with pytest.raises(InputError, match=r"x\.json\.gz"):
        results.load(path)


def test_a_file_that_grows_without_end_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "LARGEST", 1000)
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(InputError, match="more than 1,000 bytes when unpacked"):
        results.load(path)


def test_a_file_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"schema": 99, "cases": []}).encode()))
    with pytest.raises(InputError, match="schema 99, expected 1"):
        results.load(path)


def test_missing_results_say_what_makes_them(tmp_path):
    with pytest.raises(InputError, match="robustprune run"):
        results.load(tmp_path / "none")


def test_files_of_earlier_versions_load_and_a_consensus_is_known_by_its_scores():
    """They hold `seconds`, and not whether a criterion combines others."""
    earlier = {**to_record(CASE), "seconds": 3.0}
    del earlier["combines"]
    several = {**earlier, "scores": {"rank sum": {"a": 2.0}, "cka": {"a": 0.5}}}
    assert from_record(earlier) == from_record(to_record(CASE))
    assert [from_record(record).combines for record in (earlier, several)] == [False, True]
    assert not from_record({**several, "combines": False}).combines
    assert from_record(to_record(replace(CASE, combines=True))).combines


def test_claims_are_clean_then_every_attack_then_the_worst_case():
    both = replace(CASE, outcomes=[FGSM, PGD])
    names = ["clean", "FGSM, Linf 25.5/255", "PGD-20, Linf 25.5/255", "worst case"]
    assert list(claims(both)) == measures([CASE, both]) == names
    assert claims(both)["worst case"] == [False] * 4
    assert right(CASE, names[2]) is None
    assert list(claims(replace(CASE, outcomes=[]))) == ["clean"]


def test_only_what_was_measured_on_both_is_shared():
    both = replace(CASE, outcomes=[FGSM, PGD])
    assert list(shared(both, CASE)) == ["clean", "FGSM, Linf 25.5/255", "worst case"]
    assert shared(both, CASE)["worst case"] == (CASE.worst, both.worst)
    assert headlines(both, CASE) == ["clean", "worst case"]
    assert headlines(both, replace(CASE, outcomes=[])) == ["clean"]


def test_classes_that_occur_are_listed_with_their_samples():
    assert by_class(replace(CASE, labels=[1, 0, 1, 2])) == [("0", [1]), ("1", [0, 2]), ("2", [3])]
