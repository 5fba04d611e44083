"""The clean room: dishonest networks are seen, honest ones are not refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from review_desk import ATTACKS, Desk
from sly_models import CALLS, Normalised

from robustprune.attacks.engine.evaluate import evaluate
from robustprune.data import digits
from robustprune.models import load_weights, save_weights, weights_hash
from robustprune.review import service
from robustprune.review.clean_room import Room, apart, clean_room, room_check, rounding
from robustprune.review.extras import Effort, with_room
from robustprune.review.given import Given, open_candidate, open_parent
from robustprune.review.shown import shown
from robustprune.run.network import Network

NETS = str(Path(__file__).parent / "sly_models.py")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of the honest network, trained at a glance."""
    from sly_models import Honest

    torch.manual_seed(0)
    net, data, file = Honest(), digits().train, tmp_path_factory.mktemp("sly") / "net.safetensors"
    step = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        step.zero_grad()
        torch.nn.functional.cross_entropy(net(data.x), data.y).backward()
        step.step()
    save_weights(net, file)
    return file


@pytest.fixture(scope="module")
def bench():
    data = digits()
    suite = SimpleNamespace(attacks=ATTACKS[:1], attack_batch=32)
    return SimpleNamespace(suite=suite, sample=data.test.balanced(40, 0), device=torch.device("cpu"), data=data)


def measured(given: Given, bench):
    """What a review has of a network: itself, and what an attack did to it."""
    weights = weights_hash(load_weights(given.shape(), given.weights))
    network = Network(
        structure="", behaviour="", weights=weights, factory=given.shape, file=given.weights, example=given.example
    )
    done = evaluate(network.model, bench.sample.x, bench.sample.y, bench.suite.attacks)
    return SimpleNamespace(network=network, result=SimpleNamespace(outcomes=done.outcomes))


def here(folder: Path) -> str:
    """The same service without a process of its own: what it imports is imported anew all the same."""
    service.main(folder)
    return ""


def seen(name: str, weights: Path, bench, start=here):
    CALLS[0] = 0
    parent = open_parent(f"{NETS}:Honest", weights, bench.sample.x[:1])
    candidate = open_candidate(f"{NETS}:{name}", weights, parent)
    theirs, ours = measured(parent, bench), measured(candidate, bench)
    return clean_room(ours.network, candidate.loading, shown(theirs, ours, bench, 8, 8), 32, start)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ByBatch", "one at a time it gives other logits than the judge"),
        ("ByCalls", "one at a time it gives other logits"),
        ("ByGradMode", "in batches of 32 it gives other logits than the copy that is attacked"),
        ("ByInput", "than the copy that is attacked"),
        ("ByModules", "in batches of 32 it gives other logits than the judge"),
        ("ByCopy", "the gradients that attacks follow"),
        ("ByWeights", "than the judge"),
    ],
)
def test_a_network_that_behaves_otherwise_in_service_is_not_believed(name, reason, weights, bench):
    check = room_check(seen(name, weights, bench, apart if name == "ByModules" else here))
    assert (check.status, check.blocking) == ("fail", True)
    assert reason in check.evidence


def test_an_honest_network_is_believed_and_loads_nothing_of_this_program(weights, bench):
    room = seen("Honest", weights, bench, apart)
    assert room.problems == ()
    assert room.library == ()
    assert room_check(room).status == "pass"


@pytest.mark.parametrize("name", ["Normalised", "small"])
def test_other_honest_networks_are_believed(name, weights, bench, desk, tmp_path):
    spec, file = (f"{desk.nets}:small", desk.folder / "parent.safetensors") if name == "small" else ("", tmp_path / "w")
    if name == "Normalised":
        spec, file = f"{NETS}:Normalised", tmp_path / "net.safetensors"
        save_weights(Normalised(), file)
    given = open_parent(spec, file, bench.sample.x[:1])
    mine = measured(given, bench)
    assert clean_room(mine.network, given.loading, shown(mine, mine, bench, 8, 8), 32, here).problems == ()


def test_what_cannot_be_run_in_service_is_no_pass(weights, bench):
    parent = open_parent(f"{NETS}:Honest", weights, bench.sample.x[:1])
    mine = measured(parent, bench)
    loading = replace(parent.loading, name="Quits")
    check = room_check(clean_room(mine.network, loading, shown(mine, mine, bench, 4, 4), 32))
    assert check.status == "fail"
    assert "cannot be loaded and run as a service would (exit code 0)" in check.evidence


def test_what_is_broken_in_service_counts_as_broken(noisy):
    row = noisy.candidate.outcomes[-1].status.index("r")
    threat = noisy.candidate.outcomes[-1].threat
    room = Room(images=1, problems=("otherwise",), broken={threat: (row,)})
    after = with_room(noisy.candidate, room)
    assert not after.worst[row]
    assert sum(after.worst) == sum(noisy.candidate.worst) - noisy.candidate.worst[row]
    assert after.trust == "INVALID"


def test_rounding_grows_with_the_logits():
    few = torch.tensor([[3.0, 1.0], [0.0, 5.0]])
    assert rounding(10 * few) == pytest.approx(10 * rounding(few))


def test_a_review_says_so(desk: Desk):
    effort = Effort(transfer_steps=1, curve_samples=8, curve_steps=1, service_samples=4)
    found = desk.review(f"{desk.nets}:small", samples=60, effort=effort)
    (check,) = [one for one in found.candidate.checks if one.number == 31]
    assert check.status == "pass"
    assert check.figures["images"] >= 8
    assert "which loads robustprune" in check.evidence
