"""Which networks share one bound of their distance from AutoAttack: parents, controls and strategies, by family."""

from dataclasses import replace

from mini_suite import write_mini

from robustprune.models import weights_hash
from robustprune.run.shelf import measure_suite, shelf
from robustprune.suite.files import open_suite


def test_parents_share_a_bound_as_strategies_do_and_make_no_claim(tmp_path, monkeypatch):
    """Two networks of one family, each with a strategy: two runs of either."""
    seen = []
    monkeypatch.setattr("robustprune.run.examined.gather", lambda ctx, tier: seen.append((ctx.pooled, ctx.runs)) or [])
    suite = open_suite(str(write_mini(tmp_path)))
    measure_suite(suite, shelf(suite, tmp_path / "store"), workers=1)
    assert sorted(seen, key=str) == [(2, 2), (2, 2), (2, None), (2, None)]


def test_other_budgets_and_other_seeds_of_them_are_other_runs(tmp_path, monkeypatch):
    """One of the two networks also loses two blocks, by two seeds: those two share a bound, and with nothing else."""
    seen = {}
    monkeypatch.setattr(
        "robustprune.run.examined.gather",
        lambda ctx, tier: seen.update({weights_hash(ctx.model): (ctx.pooled, ctx.runs)}) or [],
    )
    suite = open_suite(str(write_mini(tmp_path)))
    pruned = [case for case in suite.cases if case.strategy is not None]
    deeper = replace(pruned[0], strategy=replace(pruned[0].strategy, remove=2))
    suite = replace(suite, cases=[*suite.cases, *(replace(deeper, seed=seed) for seed in (5, 6))])
    cases = measure_suite(suite, shelf(suite, tmp_path / "store"), workers=1)
    runs = {case.case: seen[case.weights_hash] for case in cases}
    assert sorted(runs.values(), key=str) == [(2, 2)] * 4 + [(2, None)] * 2
    assert {runs[case.case] for case in cases if case.seed in (5, 6)} == {(2, 2)}
