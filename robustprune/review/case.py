"""The review of a case that was measured in its suite."""

from __future__ import annotations

from pathlib import Path

from robustprune.models import file_hash
from robustprune.review.clean_room import Room
from robustprune.review.extras import Effort
from robustprune.review.gate import compose, facts_of, in_clean_room, what_it_learned
from robustprune.review.given import Loading
from robustprune.review.record import Review
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.keys import digest


def case_review(parent: Finished, candidate: Finished, weights: Path, bench: Bench, command: str) -> Review:
    """Judge a case beside its parent; `weights` is its exported file."""
    ours = {**_side(candidate, bench), "weights": weights.name, "sha256": file_hash(weights)}
    theirs = {**_side(parent, bench), "weights": None, "sha256": None}
    room: Room | str = "the suite has no file that a service could load its model from"
    if bench.suite.file is not None:
        loading = Loading(how="suite", where=str(bench.suite.file), name=candidate.measured.case.model.name)
        room = in_clean_room(parent, candidate, loading, bench, Effort())
    learned = what_it_learned(parent, candidate, bench.sample, bench.data.test)
    return compose(parent, candidate, facts_of(ours, theirs, bench, command), bench, room=room, learned=learned)


def _side(finished: Finished, bench: Bench) -> dict[str, str | None]:
    fingerprint = digest(finished.network)
    return {"name": finished.result.case, "spec": f"suite {bench.suite.name}", "fingerprint": fingerprint}
