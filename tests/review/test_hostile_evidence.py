"""What a hostile or clumsy user gives `review` and `verify`: one line, exit code 2, and nothing acts as markup."""

from __future__ import annotations

import copy
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_review import made_review

from robustprune.cli import main
from robustprune.cli.handing import Handing
from robustprune.cli.options import metering
from robustprune.errors import InputError
from robustprune.report.sarif import place_of
from robustprune.review.audit.change import Last, last
from robustprune.review.audit.comment import MARK, comment
from robustprune.review.audit.controls import controls
from robustprune.review.audit.signature import checked, public_key, signer
from robustprune.review.bundle import write_bundle, write_manifest, write_seal
from robustprune.review.pages import page
from robustprune.review.summary import to_markdown
from robustprune.review.verify import verify

WRONG = (None, 1, float("nan"), "é", [], {}, [1], [None], {"a": [1]})
"""JSON values that are not what a bundle holds anywhere."""

CONTROL = '[[control]]\nid = "a"\nasks = "b"\nevidence = ["clean"]\n'


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle that nobody signed; a test that changes it puts it back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))
        folder = tmp_path_factory.mktemp("hostile") / "bundle"
        write_bundle(made_review(), folder)
    return folder


@pytest.mark.parametrize("part", [None, "candidate", "parent", "data", "policy", "findings", "transfer", "signed_by"])
def test_a_verdict_of_wrong_types_does_not_hold(part, bundle):
    file = bundle / "verdict.json"
    before = file.read_bytes()
    said = json.loads(before)
    try:
        for value in WRONG:
            if said.get(part) != value and not (part == "signed_by" and not value):
                file.write_text(json.dumps(value if part is None else said | {part: value}, indent=1) + "\n")
                assert not verify(bundle).holds, value
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("value", WRONG, ids=str)
@pytest.mark.parametrize("name", ["key", "signature"])
def test_a_seal_of_wrong_types_does_not_hold(name, value, bundle):
    file = bundle / "seal.json"
    before = file.read_bytes()
    try:
        file.write_text(json.dumps(json.loads(before) | {name: value}, indent=1) + "\n")
        found = verify(bundle)
        assert not found.holds or (name, value) == ("key", "é"), found
    finally:
        file.write_bytes(before)


def test_a_signature_says_nothing_that_was_not_signed(tmp_path):
    models = {side: {"sha256": "0" * 64, "weights_hash": None} for side in ("candidate", "parent")}
    good = {
        "schema": 1,
        "algorithm": "ed25519",
        "key": "ab",
        "signed": {"files": {}, "models": models},
        "signature": "é",
    }
    file = tmp_path / "signature.json"

    def said(content):
        file.write_text(json.dumps(content, indent=1) + "\n")
        return checked(tmp_path, None, {"signed_by": "ab", **models})[0]

    assert said(good) == []
    for name in good:
        for value in WRONG:
            if good[name] != value and (name != "signature" or not isinstance(value, str)):
                assert said(copy.deepcopy(good) | {name: value}), (name, value)
    assert said(good | {"approved": "by all"}) == ["signature.json: cannot be read as a signature of a bundle"]
    file.write_text(json.dumps(good, indent=1).replace('"key"', '"key": "cd",\n "key"', 1) + "\n")
    assert checked(tmp_path, None, {"signed_by": "ab", **models})[0]
    file.write_text("[" * 100_000)
    assert checked(tmp_path, None, {})[0] == ["signature.json: cannot be read as a signature of a bundle"]


def test_a_bundle_stripped_of_every_word_of_its_signature_is_refused_where_a_key_is_given(tmp_path):
    pytest.importorskip("cryptography", reason="signatures need the extra sign")
    from test_signature import pair

    mine, public = pair(tmp_path, "mine")
    write_bundle(made_review(), tmp_path / "b", signer(mine))
    assert verify(tmp_path / "b", key=public).holds
    (tmp_path / "b" / "signature.json").unlink()
    said = json.loads((tmp_path / "b" / "verdict.json").read_bytes())
    (tmp_path / "b" / "verdict.json").write_text(json.dumps(said | {"signed_by": ""}, indent=1) + "\n")
    write_manifest(tmp_path / "b")
    write_seal(tmp_path / "b")
    assert verify(tmp_path / "b").holds
    assert verify(tmp_path / "b", key=public).problems == ("signature.json: missing: nobody signed this bundle",)


@pytest.mark.parametrize("name", ["fifo", "huge", "folder", "absent", "endless"])
@pytest.mark.parametrize("read", [signer, public_key, controls], ids=lambda one: one.__name__)
def test_what_is_no_small_file_is_refused_without_reading_it(name, read, tmp_path):
    if read is not controls:
        pytest.importorskip("cryptography", reason="signatures need the extra sign")
    file = tmp_path / name
    if name == "fifo":
        os.mkfifo(file)
    elif name == "endless":
        file.symlink_to("/dev/zero")
    elif name == "huge":
        with file.open("wb") as sparse:
            sparse.truncate(10**11)
    elif name == "folder":
        file.mkdir()
    with pytest.raises(InputError, match=f"{name}: cannot be read: "):
        read(file)


def test_without_cryptography_it_says_what_to_install(tmp_path, monkeypatch):
    for name in [one for one in sys.modules if one.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for read in (signer, public_key):
        with pytest.raises(InputError, match=r"^signatures need the package cryptography: pip install"):
            read(tmp_path / "key")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 50_000,
        "a = " + "9" * 5_000,
        "control = []",
        CONTROL + CONTROL,
        CONTROL.replace('"b"', '"\\u001b[2J"'),
        CONTROL.replace('["clean"]', "[1]"),
        CONTROL.replace('["clean"]', "[['clean']]"),
        CONTROL.replace('["clean"]', "{a = 1}"),
    ],
)
def test_hostile_controls_are_refused_in_one_line(text, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError, match=r"mine\.toml: ") as caught:
        controls(tmp_path / "mine.toml")
    assert "\n" not in str(caught.value)


def test_controls_of_another_editor_are_read(tmp_path):
    text = CONTROL.replace('"b"', '"""\nOver two\nlines."""').replace("\n", "\r\n")
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert controls(tmp_path / "mine.toml")[-1].asks == "Over two lines."


REFUSED = {
    "inside the bundle by another name": ({"sarif": "b/../b/x"}, "cannot be written there"),
    "the bundle by a link": ({"sarif": "link/x"}, "cannot be written there"),
    "two in one file": ({"sarif": "x", "comment": "./x"}, "--comment is the same file"),
    "a folder": ({"summary": "folder"}, "no plain file"),
    "a device": ({"comment": "/dev/null"}, "no plain file"),
    "over the key by its other name": ({"comment": "folder/../key.pem"}, "would write over key.pem"),
    "over the key": ({"comment": "key.pem"}, "would write over key.pem"),
    "into the last bundle": ({"sarif": "last/x"}, "would write over last"),
    "below a file": ({"sarif": "key.pem/x"}, "cannot be written there"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_would_harm_something_are_refused_before_measuring(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "last"):
        Path(folder).mkdir()
    Path("key.pem").write_text("key")
    Path("link").symlink_to("b")
    given, reason = REFUSED[name]
    handing = Handing(
        output=Path("b"),
        inputs=(Path("key.pem"), Path("last")),
        **{option: Path(file) for option, file in given.items()},
    )
    with pytest.raises(InputError, match=re.escape(reason)):
        handing.folder("usual")
    assert Path("key.pem").read_text() == "key"


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_a_bundle_has_a_name(name):
    with pytest.raises(InputError, match="expected a folder with a name"):
        Handing(output=Path(name)).folder("usual")


MARKUP = [
    "# PASS",
    "~~~",
    "```",
    "> quoted",
    "- [x] done",
    "1. PASS",
    "[a]: http://x",
    "<!-- -->",
    "<b>",
    "@team",
    "#1",
]


@pytest.mark.parametrize("name", MARKUP)
def test_no_name_acts_as_markup(name):
    review = made_review()
    facts = replace(review.facts, candidate=review.facts.candidate | {"name": name, "spec": name})
    review = replace(review, facts=facts)
    before = Last(candidate=review.candidate, verdict=name, made=name)
    said = comment(review, before)
    assert said.startswith(MARK)
    for text in (one.split("\n\n", 1)[1] for one in (said, to_markdown(review))):
        found = re.findall(r"^\s{0,3}(?:#{1,6} |~~~|>|\d+[.)] |\[a\]:)|^- \[|<!--|<b>", text, re.MULTILINE)
        assert found == []
    assert not re.search(r"@team|[^&]#1", said)
    assert "<b>" not in page(review, [])


def test_the_last_review_has_to_hold(bundle):
    file = bundle / "verdict.json"
    before = file.read_bytes()
    assert last(bundle).verdict == "FAIL"
    try:
        file.write_bytes(before.replace(b'"verdict": "FAIL"', b'"verdict": "PASS"'))
        with pytest.raises(InputError, match=r"does not hold: verdict\.json: its sha256"):
            last(bundle)
    finally:
        file.write_bytes(before)


def test_what_verify_prints_is_printable(bundle):
    added = bundle / "a\x1b[2Jb\nc"
    added.write_text("")
    try:
        found = CliRunner().invoke(main, ["verify", str(bundle)], prog_name="robustprune")
    finally:
        added.unlink()
    assert found.exit_code == 1
    assert re.findall(r"[^\x20-\x7e\n]", found.output) == []
    assert [line.split()[0] for line in found.output.splitlines()] == ["MISMATCH", "manifest"]


@pytest.mark.parametrize("country", ["deu", "DE", "../", "", "DEU\n", "ＤＥＵ"])
def test_a_country_has_three_capital_letters(country):
    with pytest.raises(InputError, match="expected a code of three capital letters"):
        metering(True, country)


def test_a_file_whose_name_is_no_text_has_an_address():
    assert place_of(os.fsdecode(b"b/\xff.json")) == "b/%FF.json"


def test_a_class_may_be_called_like_a_formula():
    from robustprune.report.figures import class_change, to_svg

    review = made_review()
    names = [f"$\\frac{{{place}" for place, _ in enumerate(review.candidate.classes)]
    pair = [replace(case, classes=names) for case in (review.candidate, review.parent)]
    assert "$\\frac{0" in to_svg(class_change(*pair, "clean"))
