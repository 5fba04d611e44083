"""The latest results of a suite, signed: what lies beside a store counts only where this user's own runs put it there.

`approve`, `report`, `export` and `compare` take numbers from such a file without measuring. It may have come with a
repository, like a store (own.py), so it is believed on the same terms. What git holds as approved is reviewed there.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from pathlib import Path

from robustprune import results
from robustprune.errors import InputError
from robustprune.files import write_all
from robustprune.results.records import CaseResult
from robustprune.run.own import secret
from robustprune.run.store import signed

LOCAL = ".robustprune"
"""The folder of stores and latest results; what lies in it is not committed."""

SIGNATURE = ".signature"
"""What the name of a file's signature ends with."""


def keep(cases: Sequence[CaseResult], file: Path) -> None:
    """Write the results of a run that ended here, signed."""
    content = results.packed(cases)
    write_all(file.parent, {file.name: content, file.name + SIGNATURE: _signature(file, content)})


def measured_here(file: Path) -> list[CaseResult]:
    """Read what `keep` wrote. InputError where it is damaged, or nothing that this user's own runs have signed."""
    cases = results.load(file)
    try:
        said = file.with_name(file.name + SIGNATURE).read_bytes()
    except OSError:
        said = b""
    if not hmac.compare_digest(said, _signature(file, file.read_bytes())):
        raise InputError(f"{file}: not measured here: no run of this user has signed it; `robustprune run` measures it")
    return cases


def stated(file: Path) -> list[CaseResult]:
    """Read results from anywhere; those of a local folder, or beside a signature, as `measured_here` does."""
    local = LOCAL in file.absolute().parts or file.with_name(file.name + SIGNATURE).exists()
    return measured_here(file) if local else results.load(file)


def _signature(file: Path, content: bytes) -> bytes:
    """Sign results under the name of the folder they lie in, so that one suite's are not taken for another's."""
    return signed(file.parent.name.encode(errors="surrogateescape") + b"\0" + content, secret()).encode()
