from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from suite_files import write_tiny

from robustprune import workspace
from robustprune.errors import InputError
from robustprune.models import weights_hash
from robustprune.results import to_record
from robustprune.runner import chains, open_bench, run_case, run_suite
from robustprune.store import Store
from robustprune.subject import case_subject, parent_subject
from robustprune.suite import Model, Strategy, load_suite


class Silent:
    def __init__(self):
        self.stages, self.done = [], []

    def stage(self, case, stage, done, total):
        self.stages.append((case, stage))

    def finished(self, case):
        self.done.append(case)


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


def test_the_number_of_workers_changes_no_outcome(finished, tmp_path):
    suite, _, results = finished
    some = suite.only(suite.cases[:3])
    listener = Silent()
    other = run_suite(some, Store(folder=tmp_path), listener, workers=2)
    assert outcome_text(other) == {k: v for k, v in outcome_text(results).items() if k in {c.id for c in some.cases}}
    assert {case for case, _ in listener.stages} == {case.id for case in some.cases}


def test_a_changed_setting_is_measured_anew(finished):
    suite, store, _ = finished
    bench = open_bench(replace(suite, samples=20), replace(store, readonly=True), "cpu")
    with pytest.raises(Exception, match="attacked/"):
        run_case(suite.cases[0], bench)


def test_the_stored_network_is_really_smaller_and_comes_back_the_same(finished):
    suite, store, results = finished
    bench = open_bench(suite, replace(store, readonly=True), "cpu")
    case = next(case for case in suite.cases if case.kind == "cka")
    subject, parent = case_subject(case, bench), parent_subject(case.model, bench)
    assert len(subject.removed) == 2
    assert sum(p.numel() for p in subject.model.parameters()) < sum(p.numel() for p in parent.model.parameters())
    x = bench.data.test.balanced(40, seed=0)
    with torch.no_grad():
        right = (subject.model(x.x).argmax(1) == x.y).tolist()
    assert right == next(r.clean for r in results if r.case == case.id)


@dataclass(frozen=True, kw_only=True)
class Last:
    """Removes the last blocks first; another name, another object, the same choice."""

    name: str

    def __call__(self, ctx):
        return {block.name: -float(place) for place, block in enumerate(ctx.blocks)}


def small_bench(finished, folder):
    suite, _, _ = finished
    return open_bench(suite, Store(folder=folder), "cpu"), next(case for case in suite.cases if case.strategy)


def test_strategies_that_chose_the_same_blocks_share_one_network(finished, tmp_path):
    bench, case = small_bench(finished, tmp_path)
    subjects = [
        case_subject(replace(case, strategy=Strategy(criterion=Last(name=name), remove=2)), bench) for name in "ab"
    ]
    other = case_subject(replace(case, strategy=Strategy(criterion=Last(name="a"), remove=1)), bench)
    assert subjects[0].identity == subjects[1].identity != other.identity
    assert subjects[0].scores != subjects[1].scores
    assert len(list((tmp_path / "pruned").glob("*.safetensors"))) == 2


def test_blocks_that_go_one_at_a_time_are_fine_tuned_in_between(finished, tmp_path):
    bench, case = small_bench(finished, tmp_path)
    between = replace(case.recipe, name="between")
    steps = Strategy(criterion=Last(name="last"), remove=2, step=1, between=between)
    slow, fast = (
        case_subject(replace(case, strategy=strategy), bench)
        for strategy in (steps, Strategy(criterion=Last(name="last"), remove=2))
    )
    assert slow.removed == fast.removed
    assert len(slow.removed) == 2
    assert slow.weights != fast.weights
    again = case_subject(replace(case, strategy=steps), replace(bench, store=replace(bench.store, readonly=True)))
    assert weights_hash(again.model) == slow.weights


def test_attacks_are_grouped_by_threat_model(finished):
    suite, _, _ = finished
    assert [len(chain) for chain in chains(suite.attacks)] == [2]
    further = [*suite.attacks, replace(suite.attacks[0], eps=0.1)]
    assert [len(chain) for chain in chains(further)] == [2, 1]


def test_weights_with_another_hash_are_refused(finished, tmp_path: Path):
    suite, store, _ = finished
    bench = open_bench(suite, store, "cpu")
    file = next((store.folder / "parents").glob("*.safetensors"))
    wrong = Model(name="net", build=suite.cases[0].model.build, weights=file, sha256="0" * 64)
    with pytest.raises(InputError, match="sha256"):
        parent_subject(wrong, bench)


def test_the_table_and_the_baseline_are_made_from_results(finished, tmp_path):
    suite, _, results = finished
    place = workspace.Shelf(approved=tmp_path / "approved", latest=tmp_path / "latest", store=Store(folder=tmp_path))
    workspace.results.save(results[:2], place.latest / workspace.BASELINE)
    with pytest.raises(InputError, match="lack 5 cases"):
        workspace.approve(suite, place)
    assert not place.approved.exists()
    workspace.results.save(results, place.latest / workspace.BASELINE)
    files = workspace.approve(suite, place)
    assert {file.name for file in files} == {"cases.json.gz", "table.md", "table.csv"}
    assert all(file.stat().st_size > 0 for file in files)
