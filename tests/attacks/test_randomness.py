"""Randomness and fingerprints: functions of a sample's content, to the last bit."""

import math

import pytest
import torch
from attack_nets import images
from scipy.stats import chisquare, kstest

from robustprune.attacks.contract.randomness import (
    below,
    draws,
    generators,
    keys,
    mixed,
    normal,
    signs,
    streams,
    uniform,
)
from robustprune.attacks.engine.fingerprint import Fingerprint


def test_a_single_bit_changes_the_fingerprint():
    name = Fingerprint(64, torch.device("cpu"))
    odd = Fingerprint(3, torch.device("cpu"))(torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, -0.3], [0.2, 0.1, 0.3]]))
    assert odd.unique().numel() == 3
    x = images(1)
    others = x.repeat(64, 1, 1, 1)
    flat = others.flatten(1)
    flat[range(64), range(64)] = torch.nextafter(flat.diagonal(), torch.tensor(2.0))
    codes = name(torch.cat([x, others]))
    assert codes.unique().numel() == 65
    assert name(x.contiguous(memory_format=torch.channels_last)) == codes[0]


def test_keys_name_content_and_generators_follow_them():
    x = images(4)
    assert keys(x).equal(keys(x.flip(0)).flip(0))
    assert keys(x).unique().numel() == 4
    run = torch.tensor([0, 0, 1, 1])
    draws = [g.random() for g in generators(0, torch.tensor([1, 1, 1, 2]), run)]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
    assert generators(1, torch.tensor([1]), run[:1])[0].random() != draws[0]


@pytest.mark.parametrize(
    ("seed", "published"),
    [
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]),
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]),
    ],
)
def test_draws_are_the_published_numbers_of_splitmix64(seed, published):
    stream = torch.tensor([seed])
    assert [bits % 2**64 for bits in draws(stream, 0, 4)[0].tolist()] == published
    assert [bits % 2**64 for bits in draws(stream, torch.tensor([2]), 2)[0].tolist()] == published[2:]


def test_samples_at_different_places_read_what_they_would_alone():
    stream, place = streams(3, torch.tensor([10, 11, 12])), torch.tensor([0, 7, 3])
    together = draws(stream, place, 5)
    for row in range(3):
        assert together[row].equal(draws(stream[row : row + 1], 0, 12)[0, place[row] : place[row] + 5])


def test_streams_follow_seed_key_and_further_numbers():
    keys = torch.tensor([1, 2, 1, 1])
    run = torch.tensor([0, 0, 1, 0])
    one = streams(0, keys, run)
    assert one[0] == one[3]
    assert torch.cat((one[:3], streams(1, keys, run)[:3], streams(0, run, keys)[:2])).unique().numel() == 8
    near = streams(0, torch.arange(10_000))
    assert near.unique().numel() == 10_000
    flipped = (mixed(near) ^ mixed(near ^ 1)).view(torch.uint8)
    ones = sum(((flipped >> bit) & 1).double().mean() for bit in range(8)) / 8
    assert ones == pytest.approx(0.5, abs=0.005), "a changed bit changes half of the bits"


def test_draws_are_uniform_and_independent():
    """100 streams of neighbouring numbers, 1000 draws each; every p-value is far from 0, for these fixed seeds."""
    bits = draws(streams(0, torch.arange(100)), 0, 1000)
    numbers = uniform(bits)
    assert numbers.shape == (100, 2000)
    assert 0 <= float(numbers.min()) < 1e-4 < 1 - 1e-4 < float(numbers.max()) < 1
    assert kstest(numbers.flatten().double().numpy(), "uniform").pvalue > 0.01
    assert chisquare(below(bits, 7).flatten().bincount(minlength=7).numpy()).pvalue > 0.01
    assert float(signs(bits).mean()) == pytest.approx(0, abs=3 / math.sqrt(1e5))
    assert below(bits, torch.tensor(3)).unique().tolist() == [0, 1, 2]
    across, along = torch.corrcoef(numbers), torch.corrcoef(torch.stack((numbers[:, 1:], numbers[:, :-1])).flatten(1))
    assert float((across - torch.eye(100)).abs().max()) < 5 / math.sqrt(2000)
    assert abs(float(along[0, 1])) < 3 / math.sqrt(2e5)
    halves = torch.corrcoef(torch.stack((numbers[:, :1000], numbers[:, 1000:])).flatten(1))
    assert abs(float(halves[0, 1])) < 3 / math.sqrt(1e5)


def test_normal_draws_are_normal():
    numbers = normal(draws(streams(1, torch.arange(50)), 0, 1000))
    assert numbers.shape == (50, 2000)
    assert bool(numbers.isfinite().all())
    assert kstest(numbers.flatten().double().numpy(), "norm").pvalue > 0.01
    pairs = torch.corrcoef(torch.stack((numbers[:, :1000].flatten(), numbers[:, 1000:].flatten())))
    assert abs(float(pairs[0, 1])) < 3 / math.sqrt(5e4)
    assert bool(normal(torch.tensor([[0, -1]])).isfinite().all())
