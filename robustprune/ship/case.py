"""From a measured case of a suite to files that ship: the network, its model card section, its evidence."""

from __future__ import annotations

from pathlib import Path

from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.models import file_hash
from robustprune.models.artefact import Artefact
from robustprune.models.exports.int8 import CALIBRATION
from robustprune.models.runtimes import OnnxBytes
from robustprune.review.parity import Parity, parity
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.network import Network
from robustprune.run.shelf import latest, shelf
from robustprune.run.shipping import Shipped
from robustprune.run.suite import CaseWork, recall
from robustprune.ship.card import model_card
from robustprune.ship.export import Origin, export_onnx, export_safetensors, factory_text
from robustprune.ship.int8 import INT8, export_int8
from robustprune.suite.cases import Case, Suite
from robustprune.suite.files import open_suite

CARD = "MODEL_CARD_SECTION.md"


def export_case(
    suite: str, name: str, form: str, output: Path, results: Path | None = None, device: str = "cpu"
) -> list[str]:
    """Write a measured case as `form` below `output`, with its card; returns what was written."""
    opened = open_suite(suite)
    place = shelf(opened, results)
    case = find_case(opened, name)
    written = {one.case: one for one in latest(place, opened)}
    if case.id not in written:
        raise InputError(
            f"{case.id}: not among the latest results; `robustprune run {suite} -k {case.id!r}` measures it"
        )
    work = CaseWork(suite=opened, store=place.store, device=device)
    measured = recall(case, work)
    if measured is None:
        raise InputError(f"{case.id}: its network is not in the store; `robustprune run {suite}` makes it again")
    result = written[case.id]
    if result.weights_hash != measured.network.weights:
        raise InputError(
            f"{case.id}: the latest results are of other weights; `robustprune run {suite}` measures it again"
        )
    parent = written[case.parent_case.id] if case.parent_case else result
    finished = Finished(measured=measured, result=result)
    origin = measured.parent.network if measured.parent is not None else measured.network
    path, found = write_network(finished, origin, form, output, work.bench)
    lines = [f"`{path.name}`, sha256 {file_hash(path)}"] + ([str(found)] if found else [])
    write_whole(output / CARD, model_card(result, parent, lines).encode())
    beside = [f"Written: {path.with_suffix('').with_suffix('.onnx')}, the float file"] if form == INT8 else []
    return [*beside, f"Written: {path}", *([str(found)] if found else []), f"Written: {output / CARD}"]


def find_case(suite: Suite, name: str) -> Case:
    """The case of that name, or the only one that has `name` in its name."""
    exact = [case for case in suite.cases if case.id == name]
    found = exact or [case for case in suite.cases if name in case.id]
    if len(found) == 1:
        return found[0]
    some = ", ".join(case.id for case in (found or suite.cases)[:5])
    raise InputError(f"case {name!r}: {len(found)} cases of {suite.name} have it in their names ({some}, ...)")


def write_network(
    finished: Finished, parent: Network, form: str, folder: Path, bench: Bench
) -> tuple[Path, Parity | None]:
    """Write the network of a case. InputError for a finished artefact as safetensors: it is one.

    `form` is safetensors, onnx, or int8.onnx, which is made of the onnx file beside it.
    """
    case, network = finished.measured.case, finished.network
    name = case.id.replace("/", "-").replace(" ", "-").replace(",", "")
    if isinstance(network, Shipped):
        return _as_kept(network, name, folder, bench)
    path = folder / f"{name}.{form}"
    if form == INT8:
        images, train = bench.sample.x, bench.data.train
        export_onnx(network.model, folder / f"{name}.onnx", images)
        some = train.balanced(min(CALIBRATION, len(train)), seed=0).x
        return path, export_int8(network.model, folder / f"{name}.onnx", path, some, images)
    if form == "onnx":
        return path, export_onnx(network.model, path, bench.sample.x)
    if case.parent is not None:
        raise InputError(f"{case.id}: a finished artefact has its file already; expected a case that was pruned here")
    origin = Origin(parent=case.model.name, factory=factory_text(case.model.build), weights=parent.weights)
    export_safetensors(network.model, finished.result, origin, path, tuple(bench.example.shape[1:]))
    return path, None


def _as_kept(network: Shipped, name: str, folder: Path, bench: Bench) -> tuple[Path, Parity]:
    """Write the file that a case ships as, as it was measured; InputError for a copy in half precision."""
    net = network.model
    assert isinstance(net, Artefact)
    if not isinstance(net.runtime, OnnxBytes):
        raise InputError(f"{name}: a {network.form} copy is made where it runs; export the same case in float")
    path = folder / f"{name}.onnx"
    write_whole(path, net.runtime.content)
    return path, parity(network.twin.model, path, bench.sample.x)
