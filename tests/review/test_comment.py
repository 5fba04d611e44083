"""The comment on a pull request, and what became of a candidate since the last review."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_review import made_review

from robustprune.errors import InputError
from robustprune.results.statistics import paired
from robustprune.results.words import points_between
from robustprune.review.audit.change import Last, last, since
from robustprune.review.audit.comment import MARK, comment
from robustprune.review.bundle import write_bundle


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))


def before(lost=0, **fields):
    candidate = replace(made_review(lost).candidate, **fields)
    return Last(candidate=candidate, verdict="PASS", made="2026-01-01T00:00:00Z")


def test_the_verdict_comes_first_and_the_comment_is_short():
    text = comment(made_review(), seal="ab" * 32)
    assert text.splitlines()[:2] == [MARK, "### robustprune: FAIL: the candidate lost more than the policy allows"]
    assert "| robust accuracy, worst case | 67.5 % | 40.5 % | -27.0 [" in text
    assert "points | FAIL |" in text
    assert "since the last review" not in text
    assert "ab" * 32 in text
    assert len(text.splitlines()) < 20
    assert "\n\n\n" not in text


def test_the_change_since_the_last_review_is_paired_sample_by_sample():
    now, old = made_review(60).candidate, before(0)
    pair = paired(old.candidate.worst, now.worst)
    assert since(now, old, "worst case") == f"{points_between(pair.difference, pair.low, pair.high)} points"
    assert pair.difference == -54 / 200
    text = comment(made_review(60), old)
    assert text.splitlines()[5].endswith("| verdict | since the last review |")
    assert "The last review, of 2026-01-01T00:00:00Z, said PASS." in text
    assert since(now, before(60), "worst case") == "unchanged, the same weights"
    assert since(now, before(60, weights_hash="ef" * 16), "worst case").startswith("+0.0 [")


def test_what_cannot_be_compared_says_why():
    now = made_review().candidate
    weaker = [replace(one, settings={"steps": 5}) for one in now.outcomes]
    assert since(now, before(outcomes=weaker), "worst case").startswith("cannot be compared: PGD-20, Linf 8/255 is not")
    assert since(now, before(outcomes=[]), "worst case") == "not measured before"
    other = since(now, before(0, sample_hash="0" * 64), "clean")
    assert other == "90.0 % before, on other samples (+0.0 points)"


def test_reasons_outside_of_the_table_are_listed_and_cut():
    review = made_review()
    more = replace(review.verdict.findings[0], measure="floor", verdict="FAIL", text="too low")
    floors = [replace(more, measure=f"floor {place}") for place in range(8)]
    text = comment(replace(review, verdict=replace(review.verdict, findings=(*review.verdict.findings, *floors))))
    assert text.count("- FAIL: too low") == 6
    assert "- and 2 more, in the bundle" in text


def test_the_last_review_is_read_from_its_bundle(tmp_path):
    write_bundle(made_review(20), tmp_path / "b")
    found = last(tmp_path / "b")
    assert (found.verdict, found.made) == ("FAIL", "2026-01-02T03:04:05Z")
    assert found.candidate.worst == made_review(20).candidate.worst
    for bad in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no bundle of a review before"):
            last(bad)
