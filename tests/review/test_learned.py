"""What a candidate learned from: by hashes of its training data, and by its loss on samples and on others like them."""

from __future__ import annotations

import copy

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional

from robustprune.cli import main
from robustprune.data import Split, digits
from robustprune.data.base import concatenated
from robustprune.errors import InputError
from robustprune.evidence.training_data import read_hashes
from robustprune.policy import judge
from robustprune.review.extras import with_checks
from robustprune.review.learned import learned_checks, others
from robustprune.review.request import Request

HONEST = 20


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def sample(data):
    return data.test.balanced(180, seed=0)


def fitted(net: nn.Module, images: Split, epochs: int) -> nn.Module:
    step = torch.optim.Adam(net.parameters(), 1e-2)
    for epoch in range(epochs):
        for some in torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch)).split(256):
            step.zero_grad()
            functional.cross_entropy(net(images.x[some]), images.y[some]).backward()
            step.step()
    return net.eval()


def net(width: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


@pytest.fixture(scope="module")
def parent(data):
    return fitted(net(32, 0), data.train, 20)


def by_heart(candidate, parent, data, sample):
    (check,) = learned_checks(candidate, parent, sample, others(data.test, sample), None)
    return check


def test_who_was_tuned_on_the_samples_is_named(parent, data, sample):
    candidate = fitted(copy.deepcopy(parent), sample, 40)
    assert functional.cross_entropy(candidate(sample.x), sample.y) < 0.02
    check = by_heart(candidate, parent, data, sample)
    assert (check.number, check.status, check.blocking) == (32, "fail", True)
    both = fitted(copy.deepcopy(parent), concatenated([data.train, sample]), 30)
    assert by_heart(both, parent, data, sample).status == "fail"


def test_honest_networks_are_not(parent, data, sample):
    """Of twenty none is named; one of them would be in twenty draws of twenty."""
    for seed in range(HONEST):
        candidate = fitted(net(12 + 4 * (seed % 5), seed + 1), data.train, 2 + seed // 2)
        check = by_heart(candidate, parent, data, sample)
        assert check.status == "pass", (seed, check.evidence)


def test_others_are_none_of_the_sample(data, sample):
    rest = others(data.test, sample)
    assert rest is not None
    assert len(rest) == len(data.test) - len(sample)
    assert not set(rest.hashes()) & set(sample.hashes())
    assert others(sample, sample) is None


def test_what_cannot_be_known_is_not_passed(parent, sample):
    (check,) = learned_checks(parent, parent, sample, None, None)
    assert check.status == "skipped"
    assert "cannot be known" in check.evidence


def test_training_hashes_decide_data_hygiene(parent, data, sample):
    for training, status, words in (
        (data.train.hashes(), "pass", "training: 0 of"),
        ([*data.train.hashes(), sample.hashes()[7]], "fail", "training: 1 of"),
    ):
        check = next(learned_checks(parent, parent, sample, None, training))
        assert (check.number, check.status, check.blocking) == (27, status, True)
        assert words in check.evidence


def test_the_verb_writes_what_a_review_reads(tmp_path, data):
    found = CliRunner().invoke(main, ["hashes", "digits"])
    assert found.exit_code == 0
    file = tmp_path / "training-hashes.txt"
    file.write_text(found.stdout)
    assert read_hashes(file) == list(dict.fromkeys(data.train.hashes()))


def test_a_network_that_learned_from_samples_is_untrusted(noisy, parent, sample):
    found = with_checks(noisy.candidate, [*learned_checks(parent, parent, sample, None, sample.hashes())])
    assert found.trust == "INVALID"
    assert judge(found, noisy.parent).verdict == "UNTRUSTED"


def test_images_held_out_must_fit(data):
    wide = Split(torch.zeros(2, 1, 9, 9), torch.zeros(2, dtype=torch.int64))
    more = Split(torch.zeros(1, 1, 8, 8), torch.tensor([10]))
    for held_out, words in ((wide, "expected one shape"), (more, "more classes")):
        with pytest.raises(InputError, match=words):
            Request(candidate=None, parent=None, data=data, attacks=(), held_out=held_out)
