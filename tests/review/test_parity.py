"""What ships beside what was reviewed: files that agree, that do not, and that cannot be run."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from robustprune.data import digits
from robustprune.errors import InputError, MissingData
from robustprune.models.runtimes import open_runtime
from robustprune.review.parity import Parity, parity, parity_check

X = digits().test.x[:50]


def network(turned: float = 0.0) -> nn.Module:
    """A fixed linear network; `turned` favours class 0 on bright images."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(10, 64, generator=generator))
        net[1].weight[0] += turned
    return net.eval()


def script(net: nn.Module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, X[:1]).save(str(path))
    return path


def test_a_file_of_the_same_network_agrees(tmp_path):
    found = parity(network(), script(network(), tmp_path / "net.pt"), X)
    assert (found.kind, found.n, found.agree) == ("TorchScript", 50, 50)
    assert found.gap < 1e-5
    check = parity_check(found)
    assert (check.number, check.status, check.blocking) == (30, "pass", True)


def test_a_file_of_another_network_is_named_and_blocks(tmp_path):
    other = network(turned=0.3)
    expected = int((network()(X).argmax(1) == other(X).argmax(1)).sum())
    found = parity(network(), script(other, tmp_path / "net.pt"), X)
    assert found.agree == expected < 50
    assert found.gap == pytest.approx(float((network()(X) - other(X)).abs().max().detach()), rel=1e-4)
    check = parity_check(found)
    assert (check.status, check.blocking) == ("fail", True)
    assert f"agrees on {expected} of 50" in check.evidence


@pytest.mark.parametrize(("agree", "holds"), [(999, True), (998, False), (1000, True)])
def test_one_in_a_thousand_may_differ(agree, holds):
    found = Parity(file="a.onnx", sha256="", kind="ONNX", n=1000, agree=agree, gap=0.0)
    assert found.holds is holds
    assert ("100 %" in str(found)) is (agree == 1000)


def test_without_a_file_parity_is_unmeasured_and_never_passed():
    check = parity_check(None)
    assert (check.status, check.blocking) == ("skipped", False)
    assert check.evidence.startswith("unmeasured")


def test_logits_that_are_no_numbers_agree_with_nothing(tmp_path):
    class Nothing(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] * float("nan")

    found = parity(network(), script(Nothing(), tmp_path / "nan.pt"), X)
    assert (found.agree, found.gap) == (0, None)
    assert str(found).endswith("largest logit gap not finite")


def test_another_number_of_classes_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gives shape \(50, 64\), the candidate gives \(50, 10\)"):
        parity(network(), script(nn.Flatten(), tmp_path / "flat.pt"), X)


@pytest.mark.parametrize("name", ["junk.pt", "junk.onnx"])
def test_a_file_that_is_no_network_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(InputError, match="cannot be opened"):
        open_runtime(tmp_path / name)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(MissingData, match="no such file"):
        open_runtime(tmp_path / "none.onnx")


def test_a_shipped_file_that_differs_makes_the_review_untrusted(desk, noisy, tmp_path):
    """The candidate is fine; the file beside it is the noisy copy."""
    from review_desk import NETS

    from robustprune.review.given import open_parent

    net = open_parent(f"{NETS}:small", desk.folder / "noisy.safetensors", X[:1]).load()
    found = desk.review(f"{NETS}:small", shipped=script(net, tmp_path / "noisy.pt"))
    assert found.verdict.verdict == "UNTRUSTED"
    assert [reason.partition(":")[0] for reason in found.verdict.reasons] == ["validity check 30, candidate"]
    right = desk.review(f"{NETS}:small")
    assert next(check for check in right.candidate.checks if check.number == 30).status == "skipped"
