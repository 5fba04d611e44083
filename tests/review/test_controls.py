"""Controls of standards: what is evidence for them, in the bundle and on the page; and mappings of a user's own."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from made_review import checks, made_review

from robustprune.errors import InputError
from robustprune.review.audit.controls import controls, rows, to_markdown
from robustprune.review.audit.exhibits import EXHIBITS, shown
from robustprune.review.bundle import write_bundle, write_manifest, write_seal
from robustprune.review.pages import page
from robustprune.review.verify import verify

ASKED = {
    *(f"AISVS {number}" for number in ("3.1.2", "3.1.3", "3.2.2", "11.1.2", "11.1.3", "11.1.5")),
    *(f"AI Exchange, {what}" for what in [*(f"gradient masking {i}" for i in (1, 2, 3)), "threat model"]),
    *(f"NIST AI RMF MEASURE {number}" for number in ("2.6", "2.7")),
}
MINE = '[[control]]\nid = "ACME 7"\nasks = "No stop sign is lost."\nevidence = ["classes", "check-26"]\n'


def reviewed(**facts):
    review = made_review()
    return replace(review, facts=replace(review.facts, controls=controls(), **facts))


def test_every_control_that_was_asked_for_is_mapped_to_evidence_that_exists():
    found = {one.id: one for one in controls()}
    assert set(found) == ASKED
    for one in found.values():
        assert one.evidence
        assert set(one.evidence) <= set(EXHIBITS)
        assert one.source


def test_nothing_says_that_a_model_complies():
    said = to_markdown(reviewed()) + page(reviewed(), [])
    assert "evidence for it" in said
    assert re.findall(r"(?i)\bcompl(?:iant|iance|ies|y)\b|\bcertif\w+|\bconform\w*|\bsatisf\w+|\bfulfil\w*", said) == []


def test_every_control_has_a_row_with_a_file_and_a_figure_for_its_evidence():
    found = {one.id: (have, lack) for one, have, lack in rows(reviewed(signed_by="ab" * 32))}
    assert found["AISVS 3.1.2"][0][0] == (
        "signature of the bundle: ed25519, key abababababababab..., over every file and both models (signature.json)"
    )
    masking = [found[f"AI Exchange, gradient masking {i}"] for i in (1, 2, 3)]
    assert [have[0] for have, _ in masking] == [
        "check 16, white box beats black box: pass: seen (verdict.json)",
        "check 13, eps sweep falls: pass: seen (verdict.json)",
        "check 18, noise is weaker: pass: seen (verdict.json)",
    ]
    threat = found["AI Exchange, threat model"][0]
    assert "what an attack may spend: PGD-20: 20 forwards, 20 backwards a sample (cases.json.gz)" in threat
    # 200 samples, 20 of them wrong anyway; of the right ones 45 broke before, and 54 more do now
    robust = "robust accuracy, worst case: 67.5 % -> 40.5 %, -27.0 [-33.5, -21.3] points (cases.json.gz)"
    assert robust in found["NIST AI RMF MEASURE 2.7"][0]


def test_what_this_review_does_not_have_is_missing_not_evidence():
    have, lack = shown(["signature", "shipped", "service", "check-25"], made_review())
    assert have == []
    assert lack == [
        "signature of the bundle: not in this review",
        "the file that ships: not in this review",
        "the candidate in a process like a service: not in this review",
        "check 25, batch invariance: not in this review",
    ]
    failed, _ = shown(["check-16"], made_review(checks=checks()))
    assert failed == ["check 16, white box beats black box: fail: seen (verdict.json)"]


def test_every_exhibit_can_be_shown_of_a_review_that_has_nothing_more():
    have, lack = shown(list(EXHIBITS), reviewed())
    assert len(have) + len(lack) == len(EXHIBITS)
    assert all(line.endswith((".json)", ".json.gz)")) for line in have)


def test_the_page_is_in_the_bundle_and_is_made_again_by_verify(tmp_path, monkeypatch):
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))
    write_bundle(reviewed(), tmp_path / "b")
    assert verify(tmp_path / "b").holds
    text = (tmp_path / "b" / "controls.md").read_text()
    assert text.count("\n| ") == len(ASKED) + 1
    (tmp_path / "b" / "controls.md").write_text(text.replace("-27.0", "-1.0"))
    write_manifest(tmp_path / "b")
    write_seal(tmp_path / "b")
    (problem,) = verify(tmp_path / "b").problems
    assert problem.startswith("controls.md: not what cases.json.gz gives")


def test_the_html_report_has_a_card_for_every_control():
    text = page(reviewed(), [])
    for name in ASKED:
        assert f"<strong>{name}</strong>" in text
    assert "controls" not in page(made_review(), []).lower()


def test_a_user_adds_controls_of_a_company_and_replaces_ours(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(MINE + '[[control]]\nid = "AISVS 3.1.2"\nasks = "As we read it."\nevidence = ["models"]\n')
    found = {one.id: one for one in controls(file)}
    assert set(found) == ASKED | {"ACME 7"}
    assert found["ACME 7"].evidence == ("classes", "check-26")
    assert found["AISVS 3.1.2"].asks == "As we read it."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id = ", "not TOML: Invalid value"),
        ("[control]\nid = 'a'\n", r"expected tables \[\[control\]\] and nothing else, found control"),
        ("", "found nothing"),
        ("[[control]]\nid = 'a'\nevidence = ['clean']\n", "control 'a': asks = None: expected a text"),
        (MINE + "why = 'x'\n", "control 'ACME 7': unknown key 'why'; known: id, asks, source, evidence, missing"),
        (MINE.replace('["classes", "check-26"]', '"classes"'), "evidence = 'classes': expected a list of texts"),
        (MINE.replace("classes", "clases"), "no evidence 'clases'; did you mean classes"),
        (MINE.replace("check-26", "check-99"), "no evidence 'check-99'"),
        ("[[control]]\nasks = 'a'\nevidence = []\n", "control 1: id = None: expected a text"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_line(text, said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=f"mine.toml: .*{said}") as caught:
        controls(file)
    assert "\n" not in str(caught.value)


def test_a_mapping_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        controls(tmp_path / "none.toml")
