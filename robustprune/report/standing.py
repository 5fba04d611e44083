"""The contests of contest.py as a reader wants them: a sentence that counts, and one row for each pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustprune.report.formats import Row, records
from robustprune.report.markdown import NONE, pipe
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.words import p_value, points_between

if TYPE_CHECKING:
    from pandas import DataFrame

TITLE = "Consensus beside the other criteria"
READINGS = {
    "better": "more robust",
    "worse": "less robust",
    "no difference shown": "no difference shown",
    "same blocks": "same blocks, nothing to compare",
    "too few runs": "too few runs for a claim",
}


def tally(contests: DataFrame) -> str:
    """Count how the contests (`contest.strategies`) ended on worst-case robust accuracy; "" where there are none."""
    ends = [row["result"] for row in records(contests) if row["measure"] == WORST]
    if not ends:
        return ""
    parts = [f"{reading} in {ends.count(end)}" for end, reading in READINGS.items() if end in ends]
    return f"{TITLE}, on worst-case robust accuracy, {len(ends)} pairs at the same budget: {', '.join(parts)}."


def standing(contests: DataFrame) -> DataFrame:
    """Return one row of text a pair: differences in points with interval and Holm-adjusted p, and what that says."""
    from pandas import DataFrame

    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in records(contests):
        pair = tuple(row[name] for name in ("model", "recipe", "removed", "strategy", "other"))
        cells = found.setdefault(pair, _head(row))
        change, p = points_between(row["difference"], row["low"], row["high"]), p_value(row["p_holm"])
        cells[f"{row['measure']}, points"] = NONE if row["same_blocks"] else change
        cells[f"p, {row['measure']}"] = NONE if row["result"] in ("same blocks", "too few runs") else p
        if row["measure"] == WORST:
            cells["robustness"] = READINGS[row["result"]]
    names = ["model", "blocks removed", "strategy", "beside", "runs"]
    names += [column for measure in (WORST, CLEAN) for column in (f"{measure}, points", f"p, {measure}")]
    return DataFrame(list(found.values()), columns=[*names, "robustness"]).fillna(NONE)


def to_markdown(contests: DataFrame) -> str:
    """Write the sentence and the table as Markdown; "" where nothing is compared."""
    sentence = tally(contests)
    if not sentence:
        return ""
    reading = "Points are strategy minus the one beside it, over the same samples and runs; p is adjusted (Holm)."
    if contests["of"].str.endswith("of one parent").any():
        reading += " Where the runs are seeds of one parent, a claim holds for that parent."
    table = standing(contests)
    return f"\n{sentence} {reading}\n\n{pipe([*table.columns], table.to_numpy().tolist())}\n"


def _head(row: Row) -> dict[str, str]:
    return {
        "model": row["model"],
        "blocks removed": str(row["removed"]),
        "strategy": row["strategy"],
        "beside": row["other"],
        "runs": row["of"],
    }
