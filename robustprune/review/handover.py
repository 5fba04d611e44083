"""From a measured case of a suite to files that ship: the network, its model card section, its evidence."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from robustprune.errors import InputError
from robustprune.models import file_hash, weights_hash
from robustprune.policy import Policy
from robustprune.results import CaseResult
from robustprune.review.anatomy import anatomy, compare
from robustprune.review.card import model_card
from robustprune.review.export import Origin, export_onnx, export_safetensors, factory_text
from robustprune.review.gate import compose, exhibits, transfers, with_parity
from robustprune.review.parity import Parity
from robustprune.review.record import Facts, Review
from robustprune.runner import evaluation_sample, open_bench
from robustprune.store import NotMeasured, digest, write_whole
from robustprune.subject import Bench, Subject, case_subject, parent_subject
from robustprune.suite import Case, Suite
from robustprune.workspace import latest, open_suite, shelf

CARD = "MODEL_CARD_SECTION.md"


def export_case(
    suite: str, name: str, form: str, output: Path, results: Path | None = None, device: str = "cpu"
) -> list[str]:
    """Write a measured case as `form` below `output`, with its card; returns what was written."""
    opened = open_suite(suite)
    place = shelf(opened, results)
    case = find_case(opened, name)
    bench = open_bench(opened, dataclasses.replace(place.store, readonly=True), device)
    measured = {one.case: one for one in latest(place, opened)}
    if case.id not in measured:
        raise InputError(
            f"{case.id}: not among the latest results; `robustprune run {suite} -k {case.id!r}` measures it"
        )
    result = measured[case.id]
    parent = measured[case.parent_case.id] if case.parent_case else result
    try:
        path, found = write_network(case, result, form, output, bench)
    except NotMeasured:
        raise InputError(
            f"{case.id}: its network is not in the store; `robustprune run {suite}` makes it again"
        ) from None
    lines = [f"`{path.name}`, sha256 {file_hash(path)}"] + ([str(found)] if found else [])
    write_whole(output / CARD, model_card(result, parent, lines).encode())
    return [f"Written: {path}", *([str(found)] if found else []), f"Written: {output / CARD}"]


def find_case(suite: Suite, name: str) -> Case:
    """The case of that name, or the only one that has `name` in its name."""
    exact = [case for case in suite.cases if case.id == name]
    found = exact or [case for case in suite.cases if name in case.id]
    if len(found) == 1:
        return found[0]
    some = ", ".join(case.id for case in (found or suite.cases)[:5])
    raise InputError(f"case {name!r}: {len(found)} cases of {suite.name} have it in their names ({some}, ...)")


def write_network(case: Case, result: CaseResult, form: str, folder: Path, bench: Bench) -> tuple[Path, Parity | None]:
    """Write the network of a case. InputError for a finished artefact as safetensors: it is one."""
    subject = case_subject(case, bench)
    path = folder / f"{case.id.replace('/', '-').replace(' ', '-').replace(',', '')}.{form}"
    if form == "onnx":
        return path, export_onnx(subject.model, path, evaluation_sample(bench).x)
    if case.parent is not None:
        raise InputError(f"{case.id}: a finished artefact has its file already; expected a case that was pruned here")
    origin = Origin(
        parent=case.model.name,
        factory=factory_text(case.model.build),
        weights=weights_hash(parent_subject(case.model, bench).model),
    )
    export_safetensors(subject.model, result, origin, path, tuple(bench.example().shape[1:]))
    return path, None


def case_review(
    case: Case,
    result: CaseResult,
    parent: CaseResult,
    weights: Path,
    policy: Policy,
    bench: Bench,
    command: str,
) -> Review:
    """The review of a case that was measured in its suite; `weights` is its exported file."""
    subject, origin = case_subject(case, bench), parent_subject(case.model, bench)
    nets = {"parent": origin.model, "candidate": subject.model}
    sample = evaluation_sample(bench)
    changes = compare(anatomy(origin.model, bench.example()), anatomy(subject.model, bench.example()))
    keys = {"parent": digest(origin.identity), "candidate": digest(subject.identity)}
    facts = Facts(
        candidate={
            "name": case.id,
            **_side(bench.suite, subject),
            "weights": weights.name,
            "sha256": file_hash(weights),
        },
        parent={"name": parent.case, **_side(bench.suite, origin), "weights": None, "sha256": None},
        data={"name": bench.data.name, "source": bench.data.source, "seed": 0},
        tier=bench.suite.tier,
        command=command,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        samples=sample.hashes(),
    )
    return compose(
        candidate=with_parity(result, None),
        parent=parent,
        policy=policy,
        changes=changes,
        facts=facts,
        transfers=transfers(nets, keys, sample, bench),
        exhibits=exhibits(result, parent, nets, keys, sample, bench),
    )


def _side(suite: Suite, subject: Subject) -> dict[str, str]:
    return {"spec": f"suite {suite.name}", "fingerprint": digest(subject.identity)}
