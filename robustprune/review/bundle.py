"""The evidence bundle: a folder that can be archived, and that anybody can check later.

| file | holds |
|---|---|
| verdict.json | the verdict with everything that led to it; its schema stands in record.py |
| cases.json.gz | both networks' outcomes, sample by sample, as `results.save` writes them |
| transfer.json | outcomes of the attacks that were made on the parent and tried on the candidate |
| samples.json | one hash and label for every evaluation sample, in order |
| environment.json | commit, versions, device, threads |
| table.md, table.csv, summary.md | the same for people |
| controls.md | which of it is evidence for which control of a standard |
| report.html, pictures/*.svg | the same as a page, where matplotlib and jinja2 are installed |
| manifest.json | sha256 and size of every other file |
| seal.json | the manifest signed with the secret of the user who made it, and the name of that secret |
| signature.json | where a key was given: every file and both models signed with it, see audit/signature.py |

The sha256 of manifest.json stands for the whole bundle: written down elsewhere, it shows that nothing was
exchanged. Where the user who made it verifies it, the seal shows the same.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustprune import results
from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.report.written import tables
from robustprune.results.records import outcomes_record
from robustprune.review.audit.signature import Signer
from robustprune.review.files import (
    CASES,
    CONTROLS,
    ENVIRONMENT,
    LAST,
    MANIFEST,
    PICTURES,
    REPORT,
    SAMPLES,
    SCHEMA,
    SEAL,
    SUMMARY,
    TABLE,
    TABLE_CSV,
    TRANSFER,
    VERDICT,
    as_json,
    below,
    sha256,
)
from robustprune.review.record import Review, to_json
from robustprune.run.own import named, secret
from robustprune.run.store import signed


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something: evidence is not written over. Asked before measuring."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; evidence is not overwritten, give another --output or delete it")


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Keep a folder that is free for one review, meanwhile; a second review with the same one is refused at once."""
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl = importlib.import_module("fcntl")
        except ImportError:
            fcntl = None
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another review writes there at this moment; give another --output") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def write_bundle(review: Review, folder: Path, signer: Signer | None = None) -> str:
    """Write all evidence into a new folder, whole or not at all; returns the sha256 of its manifest.

    A `signer` signs it, and the bundle says so.
    """
    if signer is not None:
        review = replace(review, facts=replace(review.facts, signed_by=signer.name))
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _fill(review, beside)
        seal = write_manifest(beside)
        write_seal(beside)
        if signer is not None:
            signer.sign(beside)
        beside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return seal


def write_manifest(folder: Path) -> str:
    """List every file of a folder with its hash; returns the sha256 of the list."""
    files = {
        name: {"sha256": sha256(path), "bytes": path.stat().st_size}
        for name, path in below(folder)
        if path.is_file() and name not in LAST
    }
    write_whole(folder / MANIFEST, as_json({"schema": SCHEMA, "files": files}))
    return sha256(folder / MANIFEST)


def write_seal(folder: Path) -> None:
    """Sign the manifest with the secret of this user: nobody else can mend it after a change."""
    key = secret()
    content = {"key": named(key), "signature": signed((folder / MANIFEST).read_bytes(), key)}
    write_whole(folder / SEAL, as_json(content))


def _fill(review: Review, folder: Path) -> None:
    """Write every file but the manifest."""
    from robustprune.review.audit import controls
    from robustprune.review.pages import can_draw, page, pictures, save_pictures
    from robustprune.review.summary import to_markdown

    cases = review.cases
    results.save(cases, folder / CASES)
    for name, content in documents(review):
        write_whole(folder / name, as_json(content))
    write_whole(folder / SUMMARY, to_markdown(review).encode())
    for name, text in zip((TABLE, TABLE_CSV), tables(cases, ("md", "csv")), strict=True):
        write_whole(folder / name, text.encode())
    if review.facts.controls:
        write_whole(folder / CONTROLS, controls.to_markdown(review).encode())
    if can_draw():
        drawn = pictures(review)
        write_whole(folder / REPORT, page(review, drawn).encode())
        save_pictures(drawn, folder / PICTURES)


def documents(review: Review) -> Iterator[tuple[str, Any]]:
    """Yield the JSON files of a bundle: name and content."""
    labels, hashes = review.candidate.labels, review.facts.samples
    rows = [{"hash": one, "label": label} for one, label in zip(hashes, labels, strict=True)]
    yield VERDICT, to_json(review)
    yield TRANSFER, [outcomes_record(outcomes) for outcomes in review.transfers]
    yield SAMPLES, {"sample_hash": review.candidate.sample_hash, "samples": rows}
    yield ENVIRONMENT, review.candidate.environment
