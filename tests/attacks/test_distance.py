"""Norms, projections, fingerprints."""

import pytest
import torch
from attack_nets import images

from robustprune.attacks.distance import Fingerprint, generators, keys, norms, project
from robustprune.attacks.target import inside


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_projection_lands_in_ball_and_box_and_leaves_what_is_inside(norm):
    x, far = images(50, 1), 3 * images(50, 2) - 1
    near = project(far, x, norm, 0.3)
    assert inside(near, x, norm, 0.3).all()
    assert torch.allclose(project(near, x, norm, 0.3), near, atol=1e-6)
    assert not inside(far, x, norm, 0.3).any()
    assert not inside(near * float("nan"), x, norm, 0.3).any()


def test_norms_are_those_of_torch():
    x = images(5) - 0.5
    assert torch.allclose(norms(x, "L2"), torch.linalg.vector_norm(x, 2, (1, 2, 3)))
    assert torch.equal(norms(x, "Linf"), torch.linalg.vector_norm(x, torch.inf, (1, 2, 3)))


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
