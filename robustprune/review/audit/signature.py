"""A bundle signed with a key of its maker, for whoever has the other half of the key. No torch.

`signature.json` holds `signed`: the sha256 of every other file of the bundle and the hashes of both models, the name
of the key, and an ed25519 signature over `signed` (RFC 8032; the package cryptography makes it). The seal can be
checked by the user who made a bundle alone; a signature by everybody who got the public key and trusts it.

OpenSSF's model-signing was left out: of local keys it takes elliptic curves in PEM only, it brings a client of
certificate services with two dozen packages, and its list of files has no place for the hashes of the models.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.review.files import SHORT, SIGNATURE, VERDICT, as_json, below, kind, plain, read, sha256, short, there

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SCHEMA, ALGORITHM = 1, "ed25519"
ABOUT = b"robustprune bundle 1\n"
"""Stands before what is signed, so that a signature of something else never fits."""

MAKE = "openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out key.pub"
"""How to make a pair of keys."""

NEEDED = "signatures need the package cryptography: pip install 'robustprune[sign]'"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A private key, and the name of it."""

    key: Ed25519PrivateKey
    name: str

    def sign(self, folder: Path) -> None:
        """Sign every file that lies in a bundle now; nothing may be written into it after that."""
        signed = {"files": _hashes(folder), "models": _models(read(folder / VERDICT))}
        mark = base64.b64encode(self.key.sign(_message(signed))).decode()
        content = {"schema": SCHEMA, "algorithm": ALGORITHM, "key": self.name, "signed": signed, "signature": mark}
        write_whole(folder / SIGNATURE, as_json(content))


def signer(path: Path) -> Signer:
    """Read a private key from a PEM file. InputError where it is none, or cannot be read without a passphrase."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise InputError(NEEDED) from None
    try:
        key = load_pem_private_key(_content(path), password=None)
    except UnsupportedAlgorithm:
        raise _another_kind(path) from None
    except (ValueError, TypeError) as error:
        reason = "it has a passphrase" if isinstance(error, TypeError) else "no private key in PEM"
        raise InputError(f"{path}: {reason}; expected an ed25519 key as written by: {MAKE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _another_kind(path)
    return Signer(key=key, name=_name(key.public_key()))


def public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key from a PEM file. InputError where it is none."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise InputError(NEEDED) from None
    try:
        key = load_pem_public_key(_content(path))
    except UnsupportedAlgorithm:
        raise _another_kind(path) from None
    except ValueError:
        raise InputError(f"{path}: no public key in PEM; expected key.pub as written by: {MAKE}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _another_kind(path)
    return key


def _another_kind(path: Path) -> InputError:
    return InputError(f"{path}: a key of another kind; expected an ed25519 key as written by: {MAKE}")


def checked(folder: Path, key: Path | None, written: Mapping[str, Any]) -> tuple[list[str], str]:
    """Hold a bundle against its signature: what does not hold, a line each, and what can be said of the signature.

    `written` is verdict.json; without a `key` nobody knows who signed, but what was signed is compared all the same.
    """
    public = None if key is None else public_key(key)
    content, stated = read(folder / SIGNATURE, SHORT), str(written.get("signed_by") or "")
    if not there(folder / SIGNATURE):
        said = f"{VERDICT} says that the key {stated} signed it" if stated else "nobody signed this bundle"
        return ([f"{SIGNATURE}: missing: {said}"] if stated or public is not None else []), "not signed"
    if not plain(folder / SIGNATURE):
        return [f"{SIGNATURE}: not a file but {kind(folder / SIGNATURE)}"], ""
    if not _whole(content) or (folder / SIGNATURE).read_bytes() != as_json(content):
        return [f"{SIGNATURE}: cannot be read as a signature of a bundle"], ""
    problems = [] if content["key"] == stated else [f"{SIGNATURE}: by key {content['key']}, {VERDICT} says {stated}"]
    if public is not None:
        problems += _by_key(content, public)
    problems += [*_unlike_files(folder, content["signed"]["files"])]
    problems += [*_unlike_models(written, content["signed"]["models"])]
    state = "checked" if public is not None else "not checked: give --key"
    return problems, f"signed by the {ALGORITHM} key {content['key']}, {state}"


def _by_key(content: Mapping[str, Any], public: Ed25519PublicKey) -> Iterator[str]:
    """Say so where a signature is not by this key over what it says."""
    from cryptography.exceptions import InvalidSignature

    mine = _name(public)
    if content["key"] != mine:
        yield f"{SIGNATURE}: by another key, {content['key']}, not by the one given, {mine}"
        return
    try:
        mark = base64.b64decode(str(content["signature"]), validate=True)
        public.verify(mark, _message(content["signed"]))
    except (InvalidSignature, ValueError):
        yield f"{SIGNATURE}: not a signature by the key {mine} over these hashes: it was changed after signing"


def _unlike_files(folder: Path, signed: Mapping[str, str]) -> Iterator[str]:
    """Name the files that are not those that were signed."""
    for name, known in signed.items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            yield f"{SIGNATURE}: lists {name}, which lies outside the bundle"
        elif not plain(path):
            yield f"{name}: signed, but {'now ' + kind(path) if there(path) else 'missing'}"
        elif sha256(path) != known:
            yield f"{name}: changed after it was signed"
    for name, path in below(folder):
        if name not in (*signed, SIGNATURE) and (path.is_symlink() or not path.is_dir()):
            yield f"{name}: not signed: {kind(path)} that was added"


def _unlike_models(written: Mapping[str, Any], signed: Mapping[str, Any]) -> Iterator[str]:
    """Name the models whose hashes are not those that were signed."""
    for side, hashes in _models(written).items():
        if signed.get(side) != hashes:
            yield f"{VERDICT}: the {side} is not the one that was signed: {hashes}, signed {signed.get(side)}"


def _models(written: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the hashes of both models from verdict.json: of the file, and of the weights in it."""
    sides = {side: written.get(side, {}) for side in ("candidate", "parent")}
    return {side: {name: one.get(name) for name in ("sha256", "weights_hash")} for side, one in sides.items()}


def _hashes(folder: Path) -> dict[str, str]:
    return {name: sha256(path) for name, path in below(folder) if plain(path) and name != SIGNATURE}


def _whole(content: Any) -> bool:
    """Whether that is what `Signer.sign` writes; where a file may say more, it can say what nobody signed."""
    kinds = {"schema": int, "algorithm": str, "key": str, "signed": dict, "signature": str}
    if not _has(content, kinds) or (content["schema"], content["algorithm"]) != (SCHEMA, ALGORITHM):
        return False
    signed = content["signed"]
    return (
        _has(signed, {"files": dict, "models": dict})
        and all(isinstance(one, str) for one in signed["files"].values())
        and all(_has(one, {"sha256": str | None, "weights_hash": str | None}) for one in signed["models"].values())
    )


def _has(content: Any, kinds: Mapping[str, Any]) -> bool:
    """Whether a record has these fields, of these kinds, and no others."""
    if not isinstance(content, dict) or content.keys() != kinds.keys():
        return False
    return all(isinstance(content[name], kind) for name, kind in kinds.items())


def _message(signed: Mapping[str, Any]) -> bytes:
    return ABOUT + as_json(signed)


def _name(key: Ed25519PublicKey) -> str:
    """Name a public key by the sha256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return short(path)
    except InputError as error:
        raise InputError(f"{path}: cannot be read: {error}; a pair of keys is made by: {MAKE}") from None
