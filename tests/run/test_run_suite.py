import pickle
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import pytest
import torch
from suite_files import Silent, evidence_taken_as_read, write_tiny

from robustprune.attacks import FGSM, PGD, Transfer
from robustprune.errors import InputError
from robustprune.models import weights_hash
from robustprune.policy import judge
from robustprune.results.records import load_accepted, to_record
from robustprune.run.attacked import chains
from robustprune.run.bench import open_bench
from robustprune.run.case import attack_on
from robustprune.run.latest import keep
from robustprune.run.networks import case_network, parent_network
from robustprune.run.priced import Priced
from robustprune.run.shelf import BASELINE, Shelf, approve, shelf
from robustprune.run.store import Store
from robustprune.run.suite import CaseWork, recall, run_suite
from robustprune.suite.cases import Model, Strategy
from robustprune.suite.files import load_suite


@pytest.fixture(scope="module", autouse=True)
def _evidence_taken_as_read():
    with evidence_taken_as_read():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiny suite, run once in this process."""
    folder = tmp_path_factory.mktemp("tiny")
    suite = load_suite(write_tiny(folder))
    store = Store(folder=folder / "store")
    return suite, store, run_suite(suite, store, Silent(), workers=1)


def outcome_text(results):
    return {case.case: ([o.status for o in case.outcomes], case.clean, case.removed) for case in results}


def test_every_case_is_measured_and_paired_with_its_parent(finished):
    suite, _, results = finished
    assert [case.case for case in results] == [case.id for case in suite.cases]
    assert len({case.sample_hash for case in results}) == 1
    parent = results[0]
    assert parent.strategy == "parent"
    assert all(case.parent == parent.case for case in results[1:])
    for case in results:
        assert len(case.clean) == len(case.labels) == 40
        assert case.cost.macs == parent.cost.macs - len(case.removed) * (parent.cost.macs - results[-1].cost.macs)


def test_a_second_run_measures_nothing(finished, monkeypatch):
    suite, store, results = finished
    readonly = replace(store, readonly=True)
    again = run_suite(suite, readonly, Silent(), workers=2)
    assert [to_record(case) for case in again] == [to_record(case) for case in results]


def test_workers_measure_the_suite_that_is_given_and_their_number_changes_no_outcome(finished, tmp_path):
    """The suite is changed after it was loaded: what its file says plays no part."""
    attacks = (FGSM(eps=0.03), PGD(eps=0.03, steps=2))
    changed = replace(finished[0].only(finished[0].cases[:2]), samples=24, attacks=attacks)
    listener = Silent()
    many = run_suite(changed, Store(folder=tmp_path / "many"), listener, workers=2)
    assert outcome_text(many) == outcome_text(run_suite(changed, Store(folder=tmp_path / "one"), Silent(), workers=1))
    assert [len(case.clean) for case in many] == [24, 24]
    assert {outcome.eps for case in many for outcome in case.outcomes} == {0.03}
    assert {case for case, _ in listener.stages} == {case.id for case in changed.cases}


def test_what_each_attack_breaks_alone_is_measured_once_of_one_parent_a_family(finished):
    suite, store, (parent, *others) = finished
    assert [one.attack for one in parent.reach] == ["FGSM", "PGD-3"]
    assert all(case.reach == [] for case in others)
    assert len(list((store.folder / "reach").glob("*.json"))) == 1
    for one in parent.reach:
        assert [eps == 0 for eps in one.smallest] == [not right for right in parent.clean]
        assert {*one.smallest} <= {0.0, inf, *one.grid}
    fgsm, pgd = (one.optimality for one in parent.reach)
    assert 0 < fgsm < pgd <= 1
    assert all(not case.reach for case in run_suite(replace(suite, quick=True), store, Silent(), workers=1))


def test_a_changed_setting_is_measured_anew(finished):
    suite, store, _ = finished
    parent = suite.cases[0]
    assert recall(parent, CaseWork(suite=suite, store=store, device="cpu")) is not None
    assert recall(parent, CaseWork(suite=replace(suite, samples=20), store=store, device="cpu")) is None


def test_the_stored_network_is_really_smaller_and_comes_back_the_same(finished):
    suite, store, results = finished
    bench = open_bench(suite, replace(store, readonly=True), "cpu")
    case = next(case for case in suite.cases if case.kind == "cka")
    parent = parent_network(case.model, bench)
    network = case_network(case, parent, bench)
    assert len(network.removed) == 2
    assert sum(p.numel() for p in network.model.parameters()) < sum(p.numel() for p in parent.model.parameters())
    x = bench.data.test.balanced(40, seed=0)
    with torch.no_grad():
        right = (network.model(x.x).argmax(1) == x.y).tolist()
    assert right == next(r.clean for r in results if r.case == case.id)


def test_a_network_travels_without_what_was_built(finished):
    suite, store, _ = finished
    network = parent_network(suite.cases[0].model, open_bench(suite, store, "cpu"))
    hashed = weights_hash(network.model)
    sent = pickle.loads(pickle.dumps(network))
    assert "model" not in vars(sent)
    assert weights_hash(sent.model) == hashed == network.weights


@dataclass(frozen=True, kw_only=True)
class Last:
    """Removes the last blocks first; another name, another object, the same choice."""

    name: str

    def __call__(self, ctx):
        return {block.name: -float(place) for place, block in enumerate(ctx.blocks)}


@pytest.fixture
def pruned(finished, tmp_path):
    """What makes a network of the tiny suite with another strategy, in a store of its own."""
    suite, _, _ = finished
    bench, case = open_bench(suite, Store(folder=tmp_path), "cpu"), next(case for case in suite.cases if case.strategy)
    start = parent_network(case.model, bench)
    return lambda **strategy: case_network(replace(case, strategy=Strategy(**strategy)), start, bench)


def test_strategies_that_chose_the_same_blocks_share_one_network(pruned, tmp_path):
    one, same = (pruned(criterion=Last(name=name), remove=2) for name in "ab")
    other = pruned(criterion=Last(name="a"), remove=1)
    assert one.content_key == same.content_key != other.content_key
    assert one.scores != same.scores
    assert len(list((tmp_path / "fine-tuned").glob("*.safetensors"))) == 2


def test_blocks_that_go_one_at_a_time_are_fine_tuned_in_between(pruned, finished):
    between = replace(next(case.recipe for case in finished[0].cases if case.recipe), name="between")
    slow = pruned(criterion=Last(name="last"), remove=2, step=1, between=between)
    fast = pruned(criterion=Last(name="last"), remove=2)
    assert slow.removed == fast.removed
    assert len(slow.removed) == 2
    assert slow.weights != fast.weights
    again = pruned(criterion=Last(name="last"), remove=2, step=1, between=between)
    assert weights_hash(again.model) == slow.weights


def test_nothing_is_transferred_onto_the_network_that_it_comes_from(finished, tmp_path):
    suite, _, _ = finished
    some = replace(suite.only(suite.cases[:2]), attacks=(PGD(eps=0.05, steps=2), Transfer(eps=0.05, steps=2)))
    parent, child = run_suite(some, Store(folder=tmp_path), Silent(), workers=1)
    assert [outcome.attack for outcome in parent.outcomes] == ["PGD-2"]
    assert [outcome.attack for outcome in child.outcomes] == ["PGD-2", "transfer PGD-2"]
    assert not any("transfer" in reason for reason in judge(child, parent).reasons)
    assert [one.attack for one in parent.reach] == ["PGD-2"]


def test_the_parent_decides_on_the_key_only_where_something_is_transferred(finished):
    suite, store, _ = finished
    work = CaseWork(suite=suite, store=store, device="cpu")
    child = recall(suite.cases[1], work)
    parent, network = child.parent.network, child.network
    other = replace(parent, weights="other")
    keys = [
        [attack_on(network, one, (attack,), work.bench).key for one in (parent, other)]
        for attack in (PGD(eps=0.1), Transfer(eps=0.1))
    ]
    assert keys[0][0] == keys[0][1]
    assert keys[1][0] != keys[1][1]


def test_a_cost_is_true_of_one_machine_and_of_every_network_of_one_shape(finished):
    suite, store, _ = finished
    bench = open_bench(suite, store, "cpu")
    network = parent_network(suite.cases[0].model, bench)
    plain = {"shape": network.shape, "beside": None, "input": (1, 1, 8, 8), "batches": (1,), "seconds": 0.1}
    plain |= {"threads": 1, "device": "cpu (a)", "processor": "a", "network": network, "parent": network}
    key = Priced(**plain).key
    for changed in (
        {"device": "cuda:0 (b)"},
        {"processor": "b"},
        {"threads": 2},
        {"shape": [network.structure, ["x"]]},
    ):
        assert Priced(**{**plain, **changed}).key != key
    assert Priced(**{**plain, "network": replace(network, weights="others")}).key == key


def test_attacks_are_grouped_by_threat_model(finished):
    suite, _, _ = finished
    assert [len(chain) for chain in chains(suite.attacks)] == [2]
    further = [*suite.attacks, replace(suite.attacks[0], eps=0.1)]
    assert [len(chain) for chain in chains(further)] == [2, 1]


def test_weights_with_another_hash_are_refused(finished, tmp_path: Path):
    suite, store, _ = finished
    bench = open_bench(suite, store, "cpu")
    file = next((store.folder / "trained").glob("*.safetensors"))
    wrong = Model(name="net", build=suite.cases[0].model.build, weights=file, sha256="0" * 64)
    with pytest.raises(InputError, match="sha256"):
        parent_network(wrong, bench)


def test_the_table_and_the_baseline_are_made_from_results(finished, tmp_path):
    suite, _, results = finished
    place = Shelf(approved=tmp_path / "approved", latest=tmp_path / "latest", store=Store(folder=tmp_path))
    keep(results[:2], place.latest / BASELINE)
    who = {"who": "Ada", "when": "2026-11-26", "why": "a test"}
    with pytest.raises(InputError, match="lack 5 cases"):
        approve(suite, place, **who)
    assert not place.approved.exists()
    keep(results, place.latest / BASELINE)
    done = approve(suite, place, **who)
    assert {file.name for file in done.files} == {
        *("cases.json.gz", "table.md", "table.csv", "votes.csv", "detectable.md")
    }
    assert all(file.stat().st_size > 0 for file in done.files)
    assert load_accepted(place.approved / BASELINE) == done.accepted


def test_a_damaged_latest_result_leaves_what_was_approved_as_it_was(finished, tmp_path):
    suite, _, results = finished
    place = Shelf(approved=tmp_path / "approved", latest=tmp_path / "latest", store=Store(folder=tmp_path))
    keep(results, place.latest / BASELINE)
    approve(suite, place, who="Ada", when="2026-11-26", why="a test")
    before = {file.name: file.read_bytes() for file in place.approved.iterdir()}
    for damaged in (replace(results[1], trust="HACKED"), replace(results[1], labels=[0]), results[0]):
        keep([results[0], damaged, *results[2:]], place.latest / BASELINE)
        with pytest.raises(InputError, match="cases"):
            approve(suite, place, who="Eve", when="2026-11-27", why="another test")
        assert {file.name: file.read_bytes() for file in place.approved.iterdir()} == before


def test_where_nothing_can_be_written_beside_the_suite_the_store_lies_in_the_users_cache(tmp_path, monkeypatch):
    suite = load_suite(write_tiny(tmp_path))
    assert shelf(suite).store.folder == tmp_path / ".robustprune" / "store"
    (tmp_path / ".robustprune").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = shelf(suite)
    assert found.approved == tmp_path / "results" / "tiny"
    assert found.store.folder.is_relative_to(tmp_path / "cache")
    assert found.latest.is_relative_to(tmp_path / "cache")
    assert shelf(suite) == found


def test_what_fails_the_policy_is_approved_only_with_a_reason(finished, tmp_path):
    suite, _, results = finished
    place = Shelf(approved=tmp_path / "approved", latest=tmp_path / "latest", store=Store(folder=tmp_path))
    lost = replace(results[-1], clean=[False] * len(results[-1].clean))
    keep([*results[:-1], lost], place.latest / BASELINE)
    with pytest.raises(InputError, match=f"first {lost.case}.*--reason TEXT"):
        approve(suite, place, who="Ada", when="2026-11-26")
    assert not place.approved.exists()
    done = approve(suite, place, who="Ada", when="2026-11-26", why="to see it fail")
    (kept,) = (one for one in done.accepted if one.case == lost.case)
    assert (kept.verdict, kept.who, kept.when, kept.why) == ("FAIL", "Ada", "2026-11-26", "to see it fail")
    assert "clean accuracy" in kept.reasons[0]
