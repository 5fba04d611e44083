"""The list of costs: how each is named, read from what was measured, and written.

The comparison table and its CSV, a review and its `verdict.json`, the page and the model card take their costs from
here. To add one: a field of `Cost` and an entry of `COSTS`, and `robustprune.cost.measure` fills it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robustprune.typed import NotNegative, Positive, Whole

FINE_TUNING = "fine-tuning"
"""What its energy is filed under."""

BUSY = "busy machine"
"""What stands beside a time that may be of other work."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model costs. Times in milliseconds, sizes in bytes, `macs` for one sample; a count of 0: not measured."""

    macs: Whole
    params: Whole
    file_bytes: Whole
    latency_ms: dict[str, tuple[NotNegative, NotNegative, NotNegative]]
    """Batch size -> (lower quartile, median, upper quartile) of one forward pass."""
    latency_ratio: dict[str, NotNegative]
    """Batch size -> median of (this model / its parent), timed in turn; 1.0 for a parent."""
    latency_ratio_range: dict[str, tuple[NotNegative, NotNegative]] = field(default_factory=dict)
    """Batch size -> (lower quartile, upper quartile) of that ratio over the rounds; none for a parent."""
    latency_busy: tuple[str, ...] = ()
    """Batch sizes at which the machine was busy with other work, even when it was measured again."""
    memory_bytes: Whole
    memory_method: str
    threads: Whole
    device: str
    energy_joules: dict[str, Positive] = field(default_factory=dict)
    """"batch 128", say -> joules for 1,000 images; `FINE_TUNING` -> joules of all of it. Empty: not measured."""
    energy_grams: dict[str, Positive] = field(default_factory=dict)
    """The same in grams of CO2; empty where no country was given."""
    energy_method: str = ""
    """How energy was measured, or why it was not; "" where nobody asked."""
    not_counted: tuple[str, ...] = ()
    """Operators that multiply and are missing from `macs`; earlier versions did not look for them."""


@dataclass(frozen=True, kw_only=True)
class CostMeasure:
    """One cost: what it is called, where its value comes from, and how that is written."""

    name: str
    """In a table and a review, such as "file size"."""
    title: str
    """In full, with the unit that `number` leaves out, such as "file size, bytes"."""
    unit: str
    column: str
    """Of the CSV."""
    value: Callable[[Cost], float | None]
    """None: not measured."""
    ratio: Callable[[Cost], float | None] | None = None
    """Network over parent, timed in turn; None: the cost is counted, and its ratio is that of the two values."""
    range: Callable[[Cost], tuple[float, float] | None] = lambda cost: None
    """Lower and upper quartile of that ratio; None: unknown, as for what is counted."""
    busy: Callable[[Cost], bool] = lambda cost: False
    """True where the time may be of other work."""
    beside: str = ""
    """Column of the CSV for what stands beside the value: the share saved, or the ratio of what is timed; "": none."""
    number: str = "{:,}"
    """Format of the value in a model card, whose rows are called by `title`."""
    amount: str = ""
    """Format of the value in a review, whose rows are called by `name`; "": the same."""
    cell: Callable[[float], str] | None = None
    """Writes the value in the comparison table; None: it stands in the CSV only."""

    @property
    def timed(self) -> bool:
        """True where the ratio comes from runs in turn, since a single value depends on how busy the machine was."""
        return self.ratio is not None

    def over(self, now: Cost, before: Cost) -> float | None:
        """Return the ratio of two costs; None where it is unknown."""
        if self.ratio is not None:
            return self.ratio(now)
        new, old = self.value(now), self.value(before)
        return new / old if old and new is not None else None


@dataclass(frozen=True, kw_only=True)
class PerBatch:
    """A cost that is taken at several batch sizes, or of several kinds of work: a measure for each."""

    batches: Callable[[Cost], Iterable[str]]
    at: Callable[[str], CostMeasure]


def cost_from(record: Mapping[str, Any]) -> Cost:
    """Rebuild a cost from its JSON form."""
    spans = {key: record.get(key, {}).items() for key in ("latency_ms", "latency_ratio_range")}
    plain = {key: {batch: tuple(times) for batch, times in found} for key, found in spans.items()}
    lists = {key: tuple(record.get(key, ())) for key in ("latency_busy", "not_counted")}
    return Cost(**{**record, **plain, **lists})


def doubt(range: tuple[float, float] | None, busy: bool) -> str:
    """Write what follows the ratio of a time: its quartiles, and whether the machine was busy.

    >>> doubt((0.436, 0.471), busy=False), doubt((0.1, 0.9), busy=True), doubt(None, busy=False)
    (' [0.44, 0.47]', ' [0.10, 0.90], busy machine', '')
    """
    span = f" [{range[0]:.2f}, {range[1]:.2f}]" if range else ""
    return f"{span}, {BUSY}" if busy else span


def count(value: float) -> str:
    """Write a count in millions from a tenth of one on.

    >>> count(337_000), count(21_442)
    ('0.34 M', '21,442')
    """
    return f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"


def latency(batch: str) -> CostMeasure:
    """Return the median time of one forward pass at a batch size; the ratio is that of runs in turn."""

    def median(cost: Cost) -> float | None:
        return cost.latency_ms[batch][1] if batch in cost.latency_ms else None

    return CostMeasure(
        name=f"latency, batch {batch}",
        title=f"latency, batch {batch}",
        unit="ms",
        column=f"latency_ms {batch}",
        value=median,
        ratio=lambda cost: cost.latency_ratio.get(batch),
        range=lambda cost: cost.latency_ratio_range.get(batch),
        busy=lambda cost: batch in cost.latency_busy,
        beside=f"latency_ratio {batch}",
        number="{:.3g} ms",
        cell="{:.3g} ms".format,
    )


def energy(what: str, carbon: bool = False) -> CostMeasure:
    """Return the joules that 1,000 images take, or all of fine-tuning; or what that means in grams of CO2."""
    name, column, unit = ("CO2", "co2_grams", "g") if carbon else ("energy", "energy_joules", "J")
    whole = what == FINE_TUNING
    return CostMeasure(
        name=f"{name}, {what}",
        title=f"{name}, {what}" if whole else f"{name} of 1,000 images, {what}",
        unit=unit if whole else f"{unit} per 1,000 images",
        column=f"{column} {what}",
        value=lambda cost: (cost.energy_grams if carbon else cost.energy_joules).get(what),
        busy=lambda cost: cost.energy_method.endswith(BUSY),
        number=f"{{:.3g}} {unit}",
        cell=f"{{:.3g}} {unit}".format,
    )


MACS = CostMeasure(
    name="MACs",
    title="MACs a sample",
    unit="a sample",
    column="macs",
    value=lambda cost: cost.macs or None,
    beside="macs_saved",
    cell=count,
)
PARAMETERS = CostMeasure(
    name="parameters",
    title="parameters",
    unit="",
    column="params",
    value=lambda cost: cost.params or None,
    beside="params_saved",
    cell=count,
)
FILE_SIZE = CostMeasure(
    name="file size",
    title="file size, bytes",
    unit="bytes",
    column="file_bytes",
    value=lambda cost: cost.file_bytes,
    amount="{:,} bytes",
)
LATENCY = PerBatch(batches=lambda cost: cost.latency_ms, at=latency)
MEMORY = CostMeasure(
    name="memory",
    title="memory of one forward pass, bytes",
    unit="bytes",
    column="memory_bytes",
    value=lambda cost: cost.memory_bytes or None,
    amount="{:,} bytes",
    cell=lambda value: f"{value / 2**20:.1f} MiB",
)

ENERGY = PerBatch(batches=lambda cost: cost.energy_joules, at=energy)
CARBON = PerBatch(batches=lambda cost: cost.energy_grams, at=lambda what: energy(what, carbon=True))

COSTS: tuple[CostMeasure | PerBatch, ...] = (MACS, PARAMETERS, FILE_SIZE, LATENCY, MEMORY, ENERGY, CARBON)
"""All of them, in the order of a table."""


def measures(costs: Sequence[Cost]) -> list[CostMeasure]:
    """List the measures that any of the costs has, in the order of `COSTS`, batch size by batch size."""
    found: list[CostMeasure] = []
    for one in COSTS:
        if isinstance(one, CostMeasure):
            found.append(one)
        else:
            found += [one.at(batch) for batch in dict.fromkeys(b for cost in costs for b in one.batches(cost))]
    return found


def of_columns(columns: Sequence[str]) -> list[CostMeasure]:
    """List the measures whose columns a comparison table holds, in the order of `COSTS`."""
    found: list[CostMeasure] = []
    for one in COSTS:
        if isinstance(one, CostMeasure):
            found += [one] if one.column in columns else []
        else:
            head = one.at("").column
            found += [one.at(name.removeprefix(head)) for name in columns if name.startswith(head)]
    return found
