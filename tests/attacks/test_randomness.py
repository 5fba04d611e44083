"""Randomness and fingerprints: functions of a sample's content, to the last bit."""

import torch
from attack_nets import images

from robustprune.attacks.contract.randomness import generators, keys
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
