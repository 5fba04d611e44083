"""A signed bundle: whoever changes it cannot sign it again, whatever else he mends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_review import made_review

from robustprune.cli import main
from robustprune.errors import InputError
from robustprune.review.audit.signature import ABOUT, checked, public_key, signer
from robustprune.review.bundle import write_bundle, write_manifest, write_seal
from robustprune.review.files import as_json, read
from robustprune.review.verify import verify

pytest.importorskip("cryptography", reason="signatures need the extra sign")


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key as openssl writes them."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, files = Ed25519PrivateKey.generate(), (folder / f"{name}.pem", folder / f"{name}.pub")
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    for file, content in zip(files, (private, public), strict=True):
        file.write_bytes(content)
    return files


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return pair(folder, "mine") + pair(folder, "other")


@pytest.fixture(scope="module")
def original(keys, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))
        folder = tmp_path_factory.mktemp("signed") / "bundle"
        write_bundle(made_review(), folder, signer(keys[0]))
    return folder


@pytest.fixture
def copy(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "copy"))


def mended(folder: Path) -> None:
    """Write manifest and seal anew, as the user who made the bundle could."""
    write_manifest(folder)
    write_seal(folder)


def rewrite(folder: Path, name: str, change) -> None:
    content = read(folder / name)
    change(content)
    (folder / name).write_bytes(as_json(content))


def changed_table(folder):
    (folder / "table.md").write_text("all is well")


def changed_with_its_hash(folder):
    changed_table(folder)
    mended(folder)


def removed(folder):
    (folder / "transfer.json").unlink()
    mended(folder)


def added(folder):
    (folder / "note.txt").write_text("approved")
    mended(folder)


def linked(folder):
    (folder / "table.csv").rename(folder.parent / "table.csv")
    (folder / "table.csv").symlink_to(folder.parent / "table.csv")
    mended(folder)


def renamed(folder):
    (folder / "summary.md").rename(folder / "summary2.md")
    mended(folder)


def outside(folder):
    rewrite(folder, "signature.json", lambda said: said["signed"]["files"].update({"../keys": "0" * 64}))


def other_candidate(folder):
    rewrite(folder, "verdict.json", lambda said: said["candidate"].update(sha256="0" * 64))
    mended(folder)


def other_parent_signed(folder):
    rewrite(folder, "signature.json", lambda said: said["signed"]["models"]["parent"].update(sha256="1" * 64))


def stripped(folder):
    (folder / "signature.json").unlink()


def cut(folder):
    text = (folder / "signature.json").read_text()
    (folder / "signature.json").write_text(text[: len(text) // 2])


def sealed_anew(folder):
    rewrite(folder, "seal.json", lambda said: said.update(key="0" * 16))


def forged(folder):
    """Change a file, and the list that was signed, everywhere but in the mark."""
    changed_with_its_hash(folder)
    hashes = {name: one["sha256"] for name, one in read(folder / "manifest.json")["files"].items()}
    rewrite(folder, "signature.json", lambda said: said["signed"]["files"].update(hashes))


TAMPERED = {
    changed_table: "table.md: changed after it was signed",
    changed_with_its_hash: "table.md: changed after it was signed",
    removed: "transfer.json: signed, but missing",
    added: "note.txt: not signed: a file that was added",
    linked: "table.csv: signed, but now a link",
    renamed: "summary2.md: not signed: a file that was added",
    outside: "signature.json: lists ../keys, which lies outside the bundle",
    other_candidate: "verdict.json: the candidate is not the one that was signed",
    other_parent_signed: "signature.json: not a signature by the key",
    stripped: "signature.json: missing: verdict.json says that the key",
    cut: "signature.json: cannot be read as a signature",
    sealed_anew: "seal.json: changed after it was signed",
    forged: "signature.json: not a signature by the key",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda one: one.__name__)
def test_a_tampered_bundle_is_refused_and_what_was_changed_is_named(tamper, copy, keys):
    tamper(copy)
    found = verify(copy, key=keys[1])
    assert not found.holds
    assert any(problem.startswith(TAMPERED[tamper]) for problem in found.problems), found.problems


def test_a_signed_bundle_holds_for_whoever_has_the_public_key(original, keys, monkeypatch):
    name = signer(keys[0]).name
    assert read(original / "verdict.json")["signed_by"] == name
    found = verify(original, key=keys[1])
    assert found.holds, found.problems
    assert found.note == f"sealed by this user; signed by the ed25519 key {name}, checked"
    monkeypatch.setattr("robustprune.review.verify.secret", lambda: "another user's")
    assert verify(original, key=keys[1]).holds
    assert verify(original).note.endswith("not checked: give --key")


def test_the_signature_is_one_over_what_the_file_says(original, keys):
    said = json.loads((original / "signature.json").read_text())
    files = {path.relative_to(original).as_posix() for path in original.rglob("*") if path.is_file()}
    assert set(said["signed"]["files"]) == files - {"signature.json"}
    import base64

    public_key(keys[1]).verify(base64.b64decode(said["signature"]), ABOUT + as_json(said["signed"]))


def test_another_key_is_named(original, keys):
    (problem,) = verify(original, key=keys[3]).problems
    assert problem.startswith(f"signature.json: by another key, {signer(keys[0]).name}, not by the one given")


def test_a_signature_of_another_bundle_does_not_fit(copy, keys, tmp_path):
    write_bundle(made_review(), tmp_path / "second", signer(keys[0]))
    rewrite(tmp_path / "second", "seal.json", lambda said: said.update(key="0" * 16))
    signer(keys[0]).sign(tmp_path / "second")
    shutil.copy(tmp_path / "second" / "signature.json", copy / "signature.json")
    assert "seal.json: changed after it was signed" in verify(copy, key=keys[1]).problems


def test_an_unsigned_bundle_is_refused_only_where_a_key_is_given(tmp_path, keys):
    assert checked(tmp_path, None, {}) == ([], "not signed")
    assert checked(tmp_path, keys[1], {})[0] == ["signature.json: missing: nobody signed this bundle"]


@pytest.mark.parametrize("bad", ["absent", "text", "public", "elliptic", "passphrase"])
def test_a_wrong_key_file_is_one_line_and_exit_code_2(bad, keys, tmp_path):
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    file = tmp_path / "key.pem"
    made = {"elliptic": ec.generate_private_key(ec.SECP256R1()), "passphrase": ed25519.Ed25519PrivateKey.generate()}
    hidden = {"passphrase": form.BestAvailableEncryption(b"secret")}
    if bad in made:
        how = hidden.get(bad, form.NoEncryption())
        file.write_bytes(made[bad].private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, how))
    elif bad != "absent":
        file.write_bytes(keys[1].read_bytes() if bad == "public" else b"no key")
    with pytest.raises(InputError, match=r"key\.pem: .*openssl genpkey -algorithm ed25519"):
        signer(file)
    words = ["review", "m:f", "--parent", "m:f", "--data", "digits", "--sign", str(file)]
    found = CliRunner().invoke(main, words, prog_name="robustprune")
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1), found.output


def test_the_command_line_checks_a_key(copy, keys):
    run = CliRunner()
    good = run.invoke(main, ["verify", str(copy), "--key", str(keys[1])], prog_name="robustprune")
    assert good.exit_code == 0, good.output
    assert "checked" in good.output
    wrong = run.invoke(main, ["verify", str(copy), "--key", str(keys[3])], prog_name="robustprune")
    assert wrong.exit_code == 1
    assert wrong.output.startswith("MISMATCH signature.json: by another key")
    assert run.invoke(main, ["verify", str(copy), "--key", str(copy / "table.md")]).exit_code == 2
