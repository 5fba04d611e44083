"""Clean networks that every check must trust, trained once a session on scikit-learn's digits."""

import pytest
from small_nets import Digits, digits, shaken, shortened, trained
from torch import nn


@pytest.fixture(scope="session")
def data() -> Digits:
    return digits()


@pytest.fixture(scope="session")
def cnn(data: Digits) -> nn.Module:
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2)]
    return trained(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(16 * 9, 10)), data)


@pytest.fixture(scope="session")
def linear(data: Digits) -> nn.Module:
    return trained(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data)


@pytest.fixture(scope="session")
def random_net(data: Digits) -> nn.Module:
    return shaken(data)


@pytest.fixture
def short_set(monkeypatch) -> None:
    """Let checks 15 and 16 run AutoAttack's set in short: its own settings take 5000 queries of every survivor."""
    monkeypatch.setattr("robustprune.evidence.stronger.parts", shortened)
