"""One list of costs: an entry of it, and nothing else, makes a cost appear wherever costs are shown."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, fields, replace

import made_up
import pandas as pd
import pytest

from robustprune.policy.policy import Policy, judge
from robustprune.report.formats import display, to_csv, to_markdown
from robustprune.report.notes import notes
from robustprune.report.pictures import suite_pictures
from robustprune.report.table import comparison
from robustprune.results import costs
from robustprune.results.cost_changes import changes
from robustprune.results.costs import Cost, CostMeasure, cost_from, measures
from robustprune.review.anatomy import Changes
from robustprune.review.record import Facts, Review, to_json
from robustprune.review.summary import to_markdown as summary
from robustprune.ship.card import model_card

UNCHANGED = Changes(
    gone=(), added=(), altered=(), counts={}, blocks=(9, 9), same_weights=0, shared_weights=0, wrapper=""
)


@dataclass(frozen=True, kw_only=True)
class Metered(Cost):
    joules: float | None


ENERGY = CostMeasure(
    name="energy",
    title="energy of one forward pass, J",
    unit="J",
    column="joules",
    value=lambda cost: cost.joules,
    beside="joules_saved",
    number="{:.1f}",
    amount="{:.1f} J",
    cell="{:.1f} J".format,
)


def network(joules: float | None, kept: int = 9, **more):
    known = made_up.cost(kept)
    cost = Metered(**{field.name: getattr(known, field.name) for field in fields(known)}, joules=joules)
    return made_up.case([True] * 8, [made_up.outcome("PGD-20", "r" * 8)], cost=cost, **more)


PARENT = network(8.0)
PRUNED = network(6.0, kept=5, case="net/cka", strategy="cka", parent="net/parent", removed=["layer1.1"])


def reviewed(candidate, parent):
    side = {"name": "net", "spec": "net", "weights": None, "sha256": None}
    facts = Facts(candidate=side, parent=side, data={"name": "d", "source": "s"}, tier="quick", command="c", made="")
    verdict = judge(candidate, parent)
    return Review(candidate=candidate, parent=parent, policy=Policy(), verdict=verdict, changes=UNCHANGED, facts=facts)


def row_of(markdown: str, name: str) -> list[str]:
    (line,) = [line for line in markdown.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_cost_is_one_entry(monkeypatch):
    """Table, CSV, review, verdict.json and model card show it without being told."""
    monkeypatch.setattr(costs, "COSTS", (*costs.COSTS, ENERGY))
    frame = comparison([PARENT, PRUNED])
    assert display(frame)["energy"].tolist() == ["8.0 J", "6.0 J (-25.00 %)"]
    assert "6.0 J (-25.00 %)" in to_markdown(frame)
    read = pd.read_csv(io.StringIO(to_csv(frame)))
    assert (read["joules"].tolist(), read["joules_saved"][1]) == ([8.0, 6.0], 0.25)
    review = reviewed(PRUNED, PARENT)
    assert row_of(summary(review), "energy") == ["energy", "8.0 J", "6.0 J", "x 0.750 (-25.00 %)"]
    said = {"measure": "energy", "unit": "J", "before": 8.0, "now": 6.0, "ratio": 0.75}
    assert said in to_json(review)["costs"]
    assert row_of(model_card(PRUNED, PARENT), ENERGY.title) == [ENERGY.title, "6.0", "8.0", "-25.0 %"]


def test_a_cost_that_was_not_measured_is_left_out_or_a_gap(monkeypatch):
    monkeypatch.setattr(costs, "COSTS", (*costs.COSTS, ENERGY))
    unmetered = replace(PARENT, cost=replace(PARENT.cost, joules=None))
    assert [change.measure.name for change in changes(PRUNED.cost, PARENT.cost)][-3:] == [
        "energy",
        "latency, batch 1",
        "latency, batch 128",
    ]
    assert "energy" not in [change.measure.name for change in changes(PRUNED.cost, unmetered.cost)]
    assert display(comparison([unmetered, PRUNED]))["energy"].tolist() == ["-", "6.0 J"]
    lost = replace(PRUNED, cost=replace(PRUNED.cost, joules=None))
    assert display(comparison([PARENT, lost]))["energy"].tolist() == ["8.0 J", "-"]


def test_the_ratio_of_what_is_timed_is_that_of_runs_in_turn():
    slow = replace(PRUNED.cost, latency_ms={"1": (1.0, 9.0, 99.0)}, latency_ratio={"1": 0.8})
    found = {change.measure.name: change for change in changes(slow, PARENT.cost)}
    timed = found["latency, batch 1"]
    assert (timed.before, timed.now, timed.ratio) == (pytest.approx(4.0), 9.0, 0.8)
    assert found["MACs"].ratio == pytest.approx(PRUNED.cost.macs / PARENT.cost.macs)
    assert "latency, batch 128" not in found


def test_the_quartiles_of_a_ratio_and_a_busy_machine_are_said_wherever_the_ratio_is():
    timed = {"latency_ratio": {"1": 0.45}, "latency_ratio_range": {"1": (0.436, 0.471)}, "latency_busy": ("1",)}
    slow = replace(PRUNED, cost=replace(made_up.cost(5), latency_ms={"1": (9.0, 9.48, 9.9)}, **timed))
    frame = comparison([PARENT, slow])
    for read in (frame, pd.read_csv(io.StringIO(to_csv(frame)))):
        assert display(read)["latency, batch 1"].tolist() == [
            "4 ms (1.00x)",
            "9.48 ms (0.45x [0.44, 0.47], busy machine)",
        ]
    assert any("[its quartiles]" in note and "Busy machine" in note for note in frame.attrs["notes"])
    review = reviewed(slow, PARENT)
    change = "x 0.450 (-55.00 %) [0.44, 0.47], busy machine timed in turn"
    assert row_of(summary(review), "latency, batch 1")[-1] == change
    (said,) = [one for one in to_json(review)["costs"] if one["measure"] == "latency, batch 1"]
    assert (said["range"], said["busy"]) == ([0.436, 0.471], True)
    assert row_of(model_card(slow, PARENT), "latency, batch 1")[-1] == "x 0.45 [0.44, 0.47], busy machine"


def test_a_cost_from_before_quartiles_were_kept_is_read_and_shown_as_it_was():
    record = asdict(made_up.cost(5))
    assert cost_from(json.loads(json.dumps(record))) == made_up.cost(5)
    del record["latency_ratio_range"], record["latency_busy"]
    old = replace(PRUNED, cost=cost_from(record))
    assert old.cost == made_up.cost(5)
    assert display(comparison([PARENT, old]))["latency, batch 1"].tolist()[1].endswith(" ms (0.60x)")


def test_every_field_of_a_cost_is_in_the_list_or_says_how_it_was_measured():
    """A field that no entry reads would be a cost that nobody sees."""
    told = {"memory_method", "threads", "device", "not_counted", "energy_method"}
    base = replace(made_up.cost(), energy_joules={"batch 128": 3.0}, energy_grams={"batch 128": 0.4})
    changed = {
        "energy_joules": {"batch 128": 4.0},
        "energy_grams": {"batch 128": 0.5},
        "latency_ms": {"1": (2.0, 3.0, 4.0), "128": (2.0, 3.0, 4.0)},
        "latency_ratio": {"1": 9.0, "128": 9.0},
        "latency_ratio_range": {"1": (8.0, 9.0)},
        "latency_busy": ("128",),
    }
    for name in {field.name for field in fields(Cost)} - told:
        other = replace(base, **{name: changed.get(name, 7)})
        read = [
            [(one.value(cost), one.over(cost, base), one.range(cost), one.busy(cost)) for one in measures([base])]
            for cost in (base, other)
        ]
        assert read[0] != read[1], name


def test_operators_that_were_not_counted_are_named_beneath_the_table_and_old_records_have_none():
    cost = replace(made_up.cost(), not_counted=("aten._trilinear",))
    said = [note for note in notes([PARENT, replace(PRUNED, cost=cost)]) if note.startswith("MACs")]
    assert "Not counted, although it multiplies: aten._trilinear." in said[0]
    record = json.loads(json.dumps(vars(cost)))
    assert cost_from(record) == cost
    del record["not_counted"]
    assert cost_from(record).not_counted == ()


def test_names_and_columns_are_told_apart():
    found = measures([made_up.cost()])
    for names in ([one.name for one in found], [one.title for one in found], [one.column for one in found]):
        assert len(set(names)) == len(names) == 6


def with_energy(case, joules, method="3 passes of batch 8, by RAPL counters"):
    cost = replace(case.cost, energy_joules={"batch 8": joules}, energy_grams={"batch 8": joules / 100})
    return replace(case, cost=replace(cost, energy_method=method))


def test_energy_is_a_column_a_note_and_a_picture_where_it_was_measured():
    cases = [with_energy(PARENT, 2.0), with_energy(PRUNED, 1.5)]
    shown = display(comparison(cases))
    assert shown["energy, batch 8"].tolist() == ["2 J", "1.5 J"]
    assert shown["CO2, batch 8"].tolist() == ["0.02 g", "0.015 g"]
    assert any("by RAPL counters" in note for note in notes(cases))
    (picture,) = [one for one in suite_pictures(cases) if one.title.startswith("Energy")]
    assert [round(bar.get_width(), 3) for bar in picture.figure.axes[0].patches] == [2.0, 1.5]
    assert "RAPL counters" in picture.caption
    (joules,) = [one for one in changes(cases[1].cost, cases[0].cost) if one.measure.name == "energy, batch 8"]
    assert (joules.ratio, joules.doubt) == (0.75, "")
    busy = with_energy(PRUNED, 1.5, "3 passes of batch 8, by an estimate, busy machine")
    assert row_of(model_card(busy, cases[0]), "energy of 1,000 images, batch 8")[-1] == "-25.0 %, busy machine"


def test_energy_that_was_not_measured_is_no_column_but_the_reason_is_told():
    cases = [replace(one, cost=replace(one.cost, energy_method="not measured: no counter")) for one in (PARENT, PRUNED)]
    assert not [name for name in display(comparison(cases)) if name.startswith(("energy", "CO2"))]
    assert any("not measured: no counter" in note for note in notes(cases))
    assert not [one for one in suite_pictures(cases) if one.title.startswith("Energy")]
    assert not any("nergy" in note for note in notes([PARENT, PRUNED]))
