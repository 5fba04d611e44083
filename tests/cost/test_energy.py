"""Energy: what is reckoned from a meter, and what the meter of this machine may say; never a zero."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robustprune.cost import energy
from robustprune.cost.energy import LACKING, Energy, Metering, of_passes, reading
from robustprune.errors import InputError

NET, X = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Dropout()), torch.rand(8, 3, 2, 2)


@dataclass
class PerPass:
    """A meter that knows what a pass takes, by counting them."""

    joules: float
    seconds: float = 0.01
    passes: int = 0

    def of(self, work):
        hook = NET.register_forward_hook(lambda *_: setattr(self, "passes", self.passes + 1))
        work()
        hook.remove()
        return Energy(joules=self.joules * self.passes, grams=None, method="counted")


def test_joules_are_for_a_thousand_images_whatever_the_number_of_passes():
    """A pass of 8 images takes 2 J: 250 J for a thousand."""
    NET.train()
    for seconds in (0.001, 0.02):
        meter = PerPass(joules=2.0, seconds=seconds)
        found, passes = of_passes(NET, X, meter)
        assert found.joules == pytest.approx(250.0)
        assert passes == meter.passes
    assert NET.training  # it came back as it was


def test_what_cannot_be_measured_is_said_and_is_no_number():
    meter = SimpleNamespace(seconds=0.001, of=lambda work: "not measured: why")
    assert of_passes(NET, X, meter)[0] == "not measured: why"


def test_work_that_is_done_more_often_takes_more():
    assert Energy(joules=3.0, grams=0.5, method="m").times(4) == Energy(joules=12.0, grams=2.0, method="m")
    assert Energy(joules=3.0, grams=None, method="m").times(4).grams is None


@pytest.mark.parametrize("found", [None, SimpleNamespace(energy_consumed=0.0), SimpleNamespace(energy_consumed=None)])
def test_a_zero_is_no_measurement(found):
    assert reading(found, "DEU").startswith("not measured: ")


def test_without_the_extra_nothing_is_measured_and_no_work_is_done(monkeypatch):
    monkeypatch.setattr(energy, "can_meter", lambda: False)
    assert Metering(country="???").of(lambda: pytest.fail("worked")) == LACKING


class TestCodeCarbon:
    """With CodeCarbon itself, on whatever counters this machine has."""

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("codecarbon", reason="energy needs the extra energy")

    def work(self):
        torch.rand(300, 300) @ torch.rand(300, 300)

    def test_a_measurement_has_joules_and_says_how_and_reaches_for_no_network(self, monkeypatch, tmp_path, capfd):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was made"))
        found = Metering(country="FRA").of(lambda: [self.work() for _ in range(200)])
        assert found.joules > 0
        assert found.grams > 0
        assert "RAPL counters" in found.method or "an estimate by CPU model" in found.method
        assert found.method.endswith("CO2 for FRA")
        assert list(tmp_path.iterdir()) == []
        assert capfd.readouterr() == ("", "")

    def test_without_a_country_there_are_joules_alone(self):
        found = Metering().of(lambda: [self.work() for _ in range(200)])
        assert (found.joules > 0, found.grams) == (True, None)
        assert found.method.endswith("no country given, so no CO2")

    def test_an_unknown_country_is_refused(self):
        with pytest.raises(InputError, match="country 'Germany': unknown; expected a code of three letters"):
            Metering(country="Germany")

    @pytest.mark.parametrize(
        ("rapl", "gpu", "said"), [(True, 0, "RAPL counters, mem"), (False, 2, "load (X) and NVML")]
    )
    def test_the_method_names_the_counters(self, rapl, gpu, said, monkeypatch):
        monkeypatch.setattr("codecarbon.core.cpu.is_rapl_available", lambda: rapl)
        monkeypatch.setattr("codecarbon.core.gpu.is_nvidia_system", lambda: True)
        seen = SimpleNamespace(
            energy_consumed=1e-6, gpu_energy=gpu, emissions=5e-7, cpu_model="X", codecarbon_version="3"
        )
        found = reading(seen, "DEU")
        assert found.joules == pytest.approx(3.6)
        assert found.grams == pytest.approx(5e-4)
        assert said in found.method
