"""Which networks share one bound of their distance from AutoAttack: parents, controls and strategies, by family."""

from mini_suite import write_mini

from robustprune.run.shelf import measure_suite, shelf
from robustprune.suite.files import open_suite


def test_parents_share_a_bound_as_strategies_do_and_make_no_claim(tmp_path, monkeypatch):
    """Two networks of one family, each with a strategy: two runs of either."""
    seen = []
    monkeypatch.setattr("robustprune.run.examined.gather", lambda ctx, tier: seen.append((ctx.pooled, ctx.runs)) or [])
    suite = open_suite(str(write_mini(tmp_path)))
    measure_suite(suite, shelf(suite, tmp_path / "store"), workers=1)
    assert sorted(seen, key=str) == [(2, 2), (2, 2), (2, None), (2, None)]
