"""Shards are a partition of the cases; put together they are one run, and nothing else is taken for one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from click.testing import CliRunner
from mini_suite import write_mini
from suite_files import Silent

from robustprune.cli import main
from robustprune.criteria import DepthFirst
from robustprune.errors import InputError
from robustprune.results.records import load, packed, to_record
from robustprune.run.cleaning import content, needed, remove, spare, told
from robustprune.run.own import own_store
from robustprune.run.shards import CASES, STAMP, Shard, keep_shard, merged, parsed, share
from robustprune.run.store import NotMeasured, Store
from robustprune.run.suite import run_suite
from robustprune.suite.cases import Model, Strategy, grid
from robustprune.suite.files import load_suite


def cases(models, strategies, seeds):
    nets = [Model(name=f"net-{k}", build=object, weights="w.safetensors") for k in range(models)]
    ways = [Strategy(criterion=DepthFirst(), remove=count + 1) for count in range(strategies)]
    return grid(model=nets, strategy=ways, seed=range(seeds))


@pytest.mark.parametrize(("models", "strategies", "seeds"), [(1, 1, 1), (3, 2, 2), (5, 0, 1), (1, 7, 1)])
def test_every_case_is_in_one_shard_and_its_parent_beside_it(models, strategies, seeds):
    whole = cases(models, strategies, seeds)
    parents = {case.parent_case.id for case in whole if case.parent_case}
    for of in range(1, len([case for case in whole if case.id not in parents]) + 1):
        shards = [share(whole, Shard(number=number, of=of)) for number in range(1, of + 1)]
        counts = Counter(case.id for shard in shards for case in shard)
        assert counts.keys() == {case.id for case in whole}
        assert all(count == 1 for name, count in counts.items() if name not in parents)
        assert counts.total() - len(counts) < of
        sizes = [len([case for case in shard if case.id not in parents]) for shard in shards]
        assert max(sizes) - min(sizes) <= 1
        for shard in shards:
            names = [case.id for case in shard]
            assert [case.id for case in whole if case.id in names] == names
            assert {case.parent_case.id for case in shard if case.parent_case} <= {*names}


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", "", "1/9999999"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="expected NUMBER/COUNT"):
        parsed(text)


def test_more_shards_than_cases_are_refused():
    with pytest.raises(InputError, match="2 cases to share"):
        share(cases(1, 1, 2), Shard(number=1, of=3))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small suite, measured in this process."""
    folder = tmp_path_factory.mktemp("mini")
    suite, store = load_suite(write_mini(folder)), Store(folder=folder / "store")
    return suite, store, run_suite(suite, store, Silent(), workers=1)


@pytest.fixture
def halves(measured, tmp_path):
    """Its two shards: all that they need is in the store of the whole."""
    suite, store, _ = measured
    folders = [tmp_path / "first", tmp_path / "second"]
    for number, folder in enumerate(folders, 1):
        shard = Shard(number=number, of=2)
        some = run_suite(suite, replace(store, readonly=True), Silent(), workers=1, cases=share(suite.cases, shard))
        keep_shard(some, suite, shard, folder)
    return folders


def test_put_together_they_are_one_run_wherever_the_suite_lies(measured, halves, tmp_path):
    _, _, results = measured
    elsewhere = load_suite(write_mini(tmp_path / "another machine"))
    for order in (halves, halves[::-1], [*halves, halves[0]]):
        found, lines = merged(elsewhere, order)
        assert packed(found) == packed(results)
        assert len(lines) == len(order)
    assert "shard 1 of 2, 2 cases" in merged(elsewhere, halves)[1][0]


def changed(folder, **fields):
    found = load(folder / CASES)
    (folder / CASES).write_bytes(packed([replace(found[0], **fields), *found[1:]]))


def environment(folder):
    return load(folder / CASES)[0].environment


def stamped(folder, **fields):
    stamp = json.loads((folder / STAMP).read_text())
    (folder / STAMP).write_text(json.dumps({**stamp, **fields}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda second: stamped(second, suite="other"), "a shard of the suite 'other', expected 'mini'"),
        (lambda second: stamped(second, content="0" * 32), "second: measured when"),
        (lambda second: stamped(second, number="2"), "number"),
        (lambda second: (second / STAMP).write_text("[]"), "shard.json"),
        (lambda second: (second / STAMP).unlink(), "second: no shard"),
        (lambda second: (second / CASES).write_bytes(b"?"), "not a results file"),
        (lambda second: changed(second, case="net-9/parent"), "net-9/parent"),
        (lambda second: changed(second, environment={**environment(second), "torch": "1.0"}), r"torch is 1\.0"),
        (lambda second: changed(second, sample_hash="other"), "other samples"),
        (lambda second: (second / CASES).write_bytes(packed([])), "nothing is in it"),
    ],
)
def test_what_does_not_belong_together_is_refused_in_one_line(measured, halves, spoil, said):
    suite, _, _ = measured
    spoil(halves[1])
    with pytest.raises(InputError, match=said) as error:
        merged(suite, halves)
    assert "\n" not in str(error.value)


def test_cases_that_are_missing_are_named(measured, halves):
    suite, _, _ = measured
    with pytest.raises(InputError, match=r"2 cases are missing, first net-1/parent; given are shards 1/2"):
        merged(suite, halves[:1])


def test_a_case_with_two_outcomes_is_refused(measured, halves):
    suite, _, _ = measured
    first = load(halves[0] / CASES)
    keep_shard([replace(first[0], weights_hash="another"), *first[1:]], suite, Shard(number=1, of=2), halves[1])
    with pytest.raises(InputError, match=r"net-0/parent has other outcomes than in .*first"):
        merged(suite, halves)


def test_another_suite_content_is_another_suite(measured, halves):
    suite, _, _ = measured
    with pytest.raises(InputError, match="was another"):
        merged(replace(suite, samples=12), halves)


def test_a_run_finds_what_cleaning_keeps_and_nothing_else_is_kept(measured, tmp_path):
    suite, store, results = measured
    copied = replace(store, folder=tmp_path / "store", origin={})
    for path in content(store.folder).files:
        there = copied.folder / path.relative_to(store.folder)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())
    copied.put("attacked", "0" * 32, {"value": 1, "file": None})
    (copied.folder / "trained" / f"{'0' * 32}.safetensors").write_bytes(b"of nobody")
    (copied.folder / "trained" / ".writing.json.x").write_bytes(b"now")
    keys, unfinished = needed(suite, copied, "cpu")
    assert unfinished == []
    some = spare(copied.folder, keys)
    others = {path.name for path in some.files if path.parent.name != "scores"}  # what was chosen by them is kept
    assert others == {f"{'0' * 32}.json", f"{'0' * 32}.safetensors"}
    assert str(some).startswith("3 records, 4 files")
    remove(some.files)
    readonly = replace(copied, readonly=True)
    again = run_suite(suite, readonly, Silent(), workers=1)
    assert [to_record(case) for case in again] == [to_record(case) for case in results]
    gone = next(path for path in content(copied.folder).files if path.parent.name == "cost")
    remove([gone])
    assert len(needed(suite, copied, "cpu")[1]) >= 1
    remove(spare(copied.folder, set()).files)
    assert content(copied.folder).files == ()
    with pytest.raises(NotMeasured):
        run_suite(suite, readonly, Silent(), workers=1)


@pytest.mark.parametrize("name", ["notes.txt", "kind/holiday.jpg", "kind/below/deeper.json"])
def test_a_folder_that_is_no_store_is_left_alone(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="no store of robustprune"):
        content(tmp_path)
    assert "no store of robustprune" in told(tmp_path)


def test_a_store_with_a_link_to_elsewhere_is_no_store(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "kind").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no store"):
        spare(tmp_path / "store", set())
    assert content(tmp_path / "nothing there").files == ()


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_verb_writes_what_was_put_together_as_the_latest_results(measured, halves, tmp_path):
    suite, _, results = measured
    done = call("merge", suite.file, *halves, "--results", tmp_path / "results")
    assert done.exit_code == 0, done.output
    assert "shard 2 of 2, 2 cases" in done.stderr
    latest = tmp_path / ".robustprune" / "latest" / "mini"
    assert packed(load(latest / CASES)) == packed(results)
    assert (latest / "table.md").read_text() in done.stdout
    refused = call("merge", suite.file, halves[0], "--results", tmp_path / "results")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("words", [["--shard", "3/2"], ["--shard", "1/9"], ["--shard", "1/2", "--quick"]])
def test_a_shard_that_cannot_be_is_one_line(measured, words):
    done = call("run", measured[0].file, *words)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "--shard" in done.stderr


def test_the_verb_says_first_what_it_would_remove(tmp_path):
    store = own_store(tmp_path / ".robustprune" / "store")
    store.put("attacked", "0" * 32, {})
    words = ["clean", "--results", tmp_path / "results"]
    said = call(*words)
    assert said.exit_code == 0
    assert "to remove 1 records, 1 files" in said.stdout
    assert store.get("attacked", "0" * 32) == {}
    assert "removed 1 records" in call(*words, "--yes").stdout
    assert store.get("attacked", "0" * 32) is None
    (store.folder / "notes.txt").write_text("mine")
    assert call(*words, "--yes").exit_code == 2
    assert (store.folder / "notes.txt").exists()
