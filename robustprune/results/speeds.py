"""How fast a network runs in several ways: what ships by its own runtime, PyTorch, torch.compile. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Quartiles = tuple[float, float, float]
"""Lower quartile, median and upper quartile over rounds."""


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Milliseconds of one forward pass, by way of running and batch size, timed in turn on `threads` CPU threads.

    `ratio` is that to the first way, of neighbours in time. `missing`: way -> why it was not measured.
    """

    milliseconds: dict[str, dict[str, Quartiles]]
    ratio: dict[str, dict[str, Quartiles]]
    threads: int
    busy: tuple[str, ...] = ()
    """Batch sizes at which the machine had other work."""
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> Iterator[str]:
        """One line a batch size, the first way first, and one for each way that was not measured."""
        for batch in dict.fromkeys(size for times in self.milliseconds.values() for size in times):
            parts: list[str] = []
            for way, times in self.milliseconds.items():
                low, middle, high = self.ratio[way][batch]
                beside = f", {middle:.2f} [{low:.2f}, {high:.2f}] of the first" if parts else ""
                parts.append(f"{way} {times[batch][1]:.3g} ms{beside}")
            doubt = "; busy machine" if batch in self.busy else ""
            threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
            yield f"batch {batch}, {threads}, in turn: {'; '.join(parts)}{doubt}"
        for way, reason in self.missing.items():
            yield f"{way}: not measured: {reason}"


def speeds_from(record: Mapping[str, Any]) -> Speeds:
    """Rebuild speeds from their JSON form."""

    def table(times: Mapping[str, Any]) -> dict[str, dict[str, Quartiles]]:
        return {way: {batch: _three(one) for batch, one in found.items()} for way, found in times.items()}

    return Speeds(
        milliseconds=table(record["milliseconds"]),
        ratio=table(record["ratio"]),
        threads=int(record["threads"]),
        busy=tuple(record["busy"]),
        missing=dict(record["missing"]),
    )


def _three(found: Any) -> Quartiles:
    low, middle, high = map(float, found)
    return low, middle, high
