"""What running and fine-tuning a network takes in energy, and what that means in carbon dioxide.

CodeCarbon (extra `energy`) reads the counters that this machine lets it read, RAPL of the processor and NVML of a GPU,
and estimates the rest by model and load; the method says which. It works offline: a country is given by the user, and
without one there are joules alone. What the machine draws when idle is part of the figure, as is what else runs on it.
Where nothing can be measured that is said; there is never a zero.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating

PER = 1000
"""Images that a figure is about."""
JOULES = 3.6e6
"""In a kilowatt-hour."""
GRAMS = 1000
"""In a kilogram."""
LACKING = "not measured: energy needs CodeCarbon, pip install 'robustprune[energy]'"


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What some work took: joules, grams of CO2 (None: no country was given), and how that was found."""

    joules: float
    grams: float | None
    method: str

    def times(self, factor: float) -> Energy:
        """Return what so many times the work takes."""
        grams = None if self.grams is None else self.grams * factor
        return Energy(joules=self.joules * factor, grams=grams, method=self.method)


@dataclass(frozen=True, kw_only=True)
class Metering:
    """How energy is measured: about `seconds` of work at a time, in a country (three letters of ISO 3166)."""

    country: str | None = None
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.country is not None and can_meter() and self.country not in _countries():
            raise InputError(f"country {self.country!r}: unknown; expected a code of three letters, such as DEU or USA")

    def of(self, work: Callable[[], object]) -> Energy | str:
        """Do some work and measure it; a text says why that could not be done."""
        if not can_meter():
            return LACKING
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        place = (
            {"force_carbon_intensity_g_co2e_kwh": 1.0} if self.country is None else {"country_iso_code": self.country}
        )
        tracker = OfflineEmissionsTracker(
            measure_power_secs=1,
            output_methods=[],
            log_level="critical",
            tracking_mode="process",
            allow_multiple_runs=True,
            electricitymaps_api_token=None,
            **place,
        )
        tracker.start()
        try:
            work()
        finally:
            tracker.stop()
        return reading(getattr(tracker, "final_emissions_data", None), self.country)


def reading(found: object, country: str | None) -> Energy | str:
    """Take what CodeCarbon found; nothing, or a zero, is no measurement."""
    joules = JOULES * (getattr(found, "energy_consumed", None) or 0.0)
    if not (math.isfinite(joules) and joules > 0):
        return "not measured: CodeCarbon found no counter, and nothing to estimate by"
    grams = None if country is None else GRAMS * float(getattr(found, "emissions", 0.0))
    return Energy(joules=joules, grams=grams or None, method=_method(found, country))


def _method(found: object, country: str | None) -> str:
    """Say how a figure was found: by counters where there are any, else by an estimate."""
    from codecarbon.core import cpu, gpu

    model = getattr(found, "cpu_model", None) or "an unknown processor"
    parts = ["RAPL counters" if cpu.is_rapl_available() else f"an estimate by CPU model and load ({model})"]
    if getattr(found, "gpu_energy", 0.0) > 0:
        parts.append("NVML" if gpu.is_nvidia_system() else "the counter of the GPU")
    where = "no country given, so no CO2" if country is None else f"CO2 for {country}"
    return (
        f"{' and '.join(parts)}, memory by an estimate; CodeCarbon {getattr(found, 'codecarbon_version', '')}, {where}"
    )


def can_meter() -> bool:
    """Say whether energy can be measured here at all."""
    return importlib.util.find_spec("codecarbon") is not None


def of_passes(model: nn.Module, x: Tensor, metering: Metering) -> tuple[Energy | str, int]:
    """Measure forward passes of batch `x`, about as long as `metering` says; for 1,000 images, and how many passes.

    In eval mode, without gradients; the network comes back as it was.
    """
    batch = shown(model, x)
    with torch.inference_mode(), evaluating(model):
        count = max(1, math.ceil(metering.seconds / _seconds(model, batch)))
        found = metering.of(lambda: _passes(model, batch, count))
    return (found if isinstance(found, str) else found.times(PER / (count * len(batch)))), count


def _seconds(model: nn.Module, x: Tensor) -> float:
    """Return what one pass takes, after one to warm up."""
    _passes(model, x, 1)
    began = time.perf_counter()
    _passes(model, x, 2)
    return max((time.perf_counter() - began) / 2, 1e-6)


def _passes(model: nn.Module, x: Tensor, count: int) -> None:
    for _ in range(count):
        model(x)
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(x.device.type)
    if wait is not None:
        wait()


def _countries() -> frozenset[str]:
    from codecarbon.input import DataSource

    return frozenset(DataSource().get_global_energy_mix_data())
