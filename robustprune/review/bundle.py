"""The evidence bundle: a folder that can be archived, and that anybody can check later.

| file | holds |
|---|---|
| verdict.json | the verdict with everything that led to it; its schema stands in record.py |
| cases.json.gz | both networks' outcomes, sample by sample, as `results.save` writes them |
| transfer.json | outcomes of the attacks that were made on the parent and tried on the candidate |
| samples.json | one hash and label for every evaluation sample, in order |
| environment.json | commit, versions, device, threads |
| table.md, table.csv, summary.md | the same for people |
| report.html, pictures/*.svg | the same as a page, where matplotlib and jinja2 are installed |
| manifest.json | sha256 and size of every other file |

The sha256 of manifest.json stands for the whole bundle: written down elsewhere, it shows that nothing was
exchanged.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robustprune import results
from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.results.records import outcomes_record
from robustprune.review.record import Review, to_json

SCHEMA = 1
MANIFEST, VERDICT, CASES = "manifest.json", "verdict.json", "cases.json.gz"
TRANSFER, SAMPLES, ENVIRONMENT = "transfer.json", "samples.json", "environment.json"
SUMMARY, REPORT, PICTURES = "summary.md", "report.html", "pictures"


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something: evidence is not written over. Asked before measuring."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; evidence is not overwritten, give another --output or delete it")


def write_bundle(review: Review, folder: Path) -> str:
    """Write all evidence into a new folder, whole or not at all; returns the sha256 of its manifest."""
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _fill(review, beside)
        seal = write_manifest(beside)
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
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_whole(folder / MANIFEST, _json({"schema": SCHEMA, "files": files}))
    return sha256(folder / MANIFEST)


def sha256(path: Path) -> str:
    """Hash a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(review: Review, folder: Path) -> None:
    """Write every file but the manifest."""
    from robustprune.review.pages import can_draw, page, pictures, save_pictures
    from robustprune.review.summary import to_markdown
    from robustprune.run.shelf import write_tables

    cases = [review.parent, review.candidate]
    results.save(cases, folder / CASES)
    for name, content in _documents(review):
        write_whole(folder / name, _json(content))
    write_whole(folder / SUMMARY, to_markdown(review).encode())
    write_tables(cases, folder)
    if can_draw():
        drawn = pictures(review)
        write_whole(folder / REPORT, page(review, drawn).encode())
        save_pictures(drawn, folder / PICTURES)


def _documents(review: Review) -> Iterator[tuple[str, Any]]:
    labels, hashes = review.candidate.labels, review.facts.samples
    rows = [{"hash": one, "label": label} for one, label in zip(hashes, labels, strict=True)]
    yield VERDICT, to_json(review)
    yield TRANSFER, [outcomes_record(outcomes) for outcomes in review.transfers]
    yield SAMPLES, {"sample_hash": review.candidate.sample_hash, "samples": rows}
    yield ENVIRONMENT, review.candidate.environment


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
