"""Evidence on threats that are no ball of a norm: what makes no sense is skipped with a reason and weighs nothing."""

import pytest
import torch
from small_nets import Digits, bare_context

from robustprune.attacks import Corruptions, RotateTranslate, evaluate
from robustprune.evidence import CHECKS, gather
from robustprune.models import CifarResNet
from robustprune.results.records import Check
from robustprune.results.trust import ESSENTIAL, applies, trust

OF_A_BALL = {8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}


@pytest.mark.parametrize(
    "attack", [Corruptions(severity=1, kinds=("jpeg", "contrast")), RotateTranslate(angles=3, shifts=1)]
)
def test_what_is_about_a_ball_is_skipped_and_trust_stands(attack):
    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = CifarResNet(depth=8, width=4, in_channels=1, classes=2).eval()
    y = net(x).argmax(1)
    done = evaluate(net, x, y, [attack])
    data = Digits(x, y, x, y)
    ctx = bare_context(net, data, attacks=(attack,), outcomes=done.outcomes, clean=done.clean)
    checks = gather(ctx, "full")
    assert {one.number for one in checks if not applies(one)} == OF_A_BALL
    assert all("no ball" in one.evidence for one in checks if not applies(one))
    assert {one.status for one in checks if one.number in ESSENTIAL and applies(one)} == {"pass"}
    assert [one for one in checks if one.status == "fail" and one.blocking] == []
    assert len(checks) == len(CHECKS)


def check(number, status, **more):
    return Check(number=number, name="", status=status, evidence="", **more)


def test_what_makes_no_sense_under_one_threat_is_still_asked_under_another():
    made = [check(number, "pass") for number in ESSENTIAL if number != 12]
    idle = check(12, "skipped", figures={"applies": False})
    assert trust([*made, idle]) == "TRUSTED"
    assert trust([*made, idle, check(12, "skipped")]) == "SUSPECT"
    assert trust(made) == "SUSPECT"
