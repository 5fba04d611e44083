"""A review under threats that are no ball of a norm, beside one that is."""

import pytest
from review_desk import NETS

from robustprune.attacks import PGD, Corruptions, RotateTranslate
from robustprune.cli.attacks import named_attacks
from robustprune.errors import InputError
from robustprune.results.trust import applies
from robustprune.review.record import to_json

ATTACKS = (
    Corruptions(severity=3, kinds=("jpeg", "contrast")),
    RotateTranslate(degrees=20, angles=3, shifts=1),
    PGD(eps=0.05, steps=5),
)


def test_every_threat_is_judged_and_the_worst_case_is_over_all(desk):
    done = desk.review(f"{NETS}:small", "noisy.safetensors", attacks=ATTACKS, samples=60)
    ours, judged = done.candidate, {one.measure for one in done.verdict.findings}
    for threat in ("2 corruptions, severity 3", "grid 3 x 1 x 1, shift 10 %, rotation 20", "PGD-5, Linf 12.75/255"):
        assert f"robust accuracy, {threat}" in judged
    together = zip(ours.clean, *(one.robust for one in ours.outcomes), strict=True)
    assert ours.worst == [all(row) for row in together]
    assert sum(ours.worst) < min(sum(one.robust) for one in ours.outcomes)
    assert [one for one in ours.checks if one.blocking and one.status == "fail" and applies(one)] == []
    assert {point.eps for point in done.exhibits.curves["candidate"]} > {0, 0.05}
    first, *others = to_json(done)["attacks"]
    assert first["mean"] == pytest.approx(sum(first["accuracy"].values()) / 2)
    assert set(first["accuracy"]) == {"jpeg", "contrast"}
    assert not any("mean" in one for one in others)


def test_on_the_command_line_they_keep_their_own_size():
    named = named_attacks(["pgd", "corruptions-5", "rotate-translate"], {"L2": (0.25, 0.5)})
    assert [one.threat for one in named] == ["L2 0.25", "severity 5", "shift 10 %, rotation 30", "L2 0.5"]
    with pytest.raises(InputError, match="did you mean 'corruptions'"):
        named_attacks(["corruption"], {"L2": (0.5,)})
