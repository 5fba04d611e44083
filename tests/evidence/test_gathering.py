"""What the checks add up to: clean networks are trusted, every break is named and lowers the trust."""

import os
from pathlib import Path

import pytest
import torch
import torchattacks
from small_nets import (
    ATTACKS,
    EPS,
    ONE_LOSS,
    Around,
    Digits,
    Purifier,
    bare_context,
    context,
    quantised,
    saturated,
)
from torch import nn
from torch.nn import functional as F

from robustprune.attacks import FGSM, PGD, TorchAttack
from robustprune.attacks.algorithms.tiers import tier
from robustprune.errors import InputError
from robustprune.evidence import CHECKS, ESSENTIAL, TIERS, EvidenceContext, gather, trust
from robustprune.results.checks import CATALOGUE, kind_of
from robustprune.results.records import Check

BLOCKING = {2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 18, 20, 21, 25, 27, 28}


def made(number: int, status: str = "pass", blocking: bool = False) -> Check:
    return Check(number=number, name=f"check {number}", status=status, evidence="seen", blocking=blocking)


ENOUGH = [made(number) for number in ESSENTIAL]


def failures(checks: list[Check]) -> dict[int, str]:
    """Number -> evidence of the checks that failed."""
    return {check.number: check.evidence for check in checks if check.status == "fail"}


def test_every_check_of_the_list_is_made_by_the_evidence_or_by_a_review():
    """A review makes 30, of the file that ships, 31, of the candidate in service, and 32, of what it learned."""
    assert sorted(CATALOGUE) == list(range(1, len(CATALOGUE) + 1))
    assert sorted(CATALOGUE) == [*sorted(CHECKS), 30, 31, 32]
    assert {number for number, spec in CHECKS.items() if spec.entry.blocking} == BLOCKING
    assert all(spec.run.__doc__ for spec in CHECKS.values())
    assert {number for number in CATALOGUE if kind_of(number) != "attack"} == {22, 23, 24, 26}


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (ENOUGH, "TRUSTED"),
        ([*ENOUGH, made(9, "skipped")], "TRUSTED"),
        ([*ENOUGH, made(9, "fail")], "SUSPECT"),
        ([*ENOUGH, made(22, "fail"), made(26, "fail")], "TRUSTED"),
        ([*ENOUGH, made(16, "fail", True), made(9, "fail")], "INVALID"),
        ([*ENOUGH, made(16, "skipped", True)], "TRUSTED"),
        (ENOUGH[1:], "SUSPECT"),
        ([made(ESSENTIAL[0], "skipped"), *ENOUGH[1:]], "SUSPECT"),
        ([], "SUSPECT"),
    ],
)
def test_trust(checks, expected):
    assert trust(checks) == expected


@pytest.mark.parametrize(("name", "size"), [("cnn", "quick"), ("linear", "quick"), ("cnn", "standard")])
def test_clean_networks_are_trusted(name, size, request, data, short_set):
    n = 60 if size == "quick" else 24
    few = Digits(data.train_x, data.train_y, data.x[:n], data.y[:n])
    checks = gather(context(request.getfixturevalue(name), few), size)
    assert [check.number for check in checks] == list(range(1, 30))
    assert trust(checks) == "TRUSTED", failures(checks)


def test_clean_network_under_l2_is_trusted(cnn, data):
    attacks = (PGD(eps=0.5, norm="L2"), PGD(eps=0.5, norm="L2", loss="margin"))
    checks = gather(context(cnn, data, attacks=attacks), "quick")
    assert trust(checks) == "TRUSTED", failures(checks)


def test_a_large_budget_is_no_fault_of_an_honest_network(cnn, data):
    """L2 1.0 on 8 x 8 images, where the planted distances would leave the box."""
    attacks = tuple(attack for attack in tier("quick", "L2", 1.0))
    few = Digits(data.train_x, data.train_y, data.x[:40], data.y[:40])
    found = {check.number: check for check in gather(context(cnn, few, attacks=attacks), "quick")}
    assert found[20].status == "pass", found[20].evidence
    assert trust(list(found.values())) == "TRUSTED", failures(list(found.values()))


def test_an_attack_of_ones_own_is_as_good_as_ours(cnn, data):
    """The README's example: any attack of torchattacks, which states its threat model as ours do."""
    mifgsm = TorchAttack(name="MI-FGSM", build=lambda model: torchattacks.MIFGSM(model, eps=EPS), eps=EPS)
    ctx = context(cnn, data, attacks=(FGSM(eps=EPS), PGD(eps=EPS, loss="margin"), mifgsm))
    checks = gather(ctx, "quick")
    assert trust(checks) == "TRUSTED", failures(checks)
    found = {check.number: check for check in checks}
    assert (found[1].status, found[20].status) == ("pass", "pass")
    assert found[19].evidence == "cross-entropy: FGSM, MI-FGSM; margin: PGD-20 margin"


class Deaf(Around):
    """Computes without gradients."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.net(x)


BREAKS = {
    "logits times 1e4, cross-entropy alone": (
        lambda net: Around(net, after=lambda z: 1e4 * z),
        ONE_LOSS,
        {8, 12},
    ),
    "tanh head": (lambda net: Around(net, after=saturated), ATTACKS, {8, 12}),
    "softmax outputs": (lambda net: Around(net, after=lambda z: z.softmax(1)), ATTACKS, {6}),
    "quantised input": (lambda net: Around(net, before=quantised), ATTACKS, {8, 12}),
    "dropout at inference": (
        lambda net: Around(net, before=lambda x: F.dropout(x, 0.2, training=True)),
        ATTACKS,
        {5},
    ),
    "no gradients": (Deaf, ATTACKS, {8, 28}),
    "optimises at inference": (lambda net: Purifier(net, "grad"), (PGD(eps=0.05, steps=3),), {7}),
}


@pytest.mark.parametrize("name", BREAKS)
def test_breaks_are_named_and_the_trust_falls(name, cnn, data):
    """At a margin so small that no bound on what stronger attacks would find could serve: none is run."""
    spoil, attacks, numbers = BREAKS[name]
    few = Digits(data.train_x, data.train_y, data.x[:20], data.y[:20])
    checks = gather(context(spoil(cnn), few, attacks=attacks, margin=0.01), "quick")
    assert trust(checks) == "INVALID", failures(checks)
    assert numbers <= set(failures(checks))


def test_a_random_network_is_trusted_with_eot_and_named_without(random_net, data):
    """Random resizing, padding and noise; 8 images."""
    few = Digits(data.train_x, data.train_y, data.x[:8], data.y[:8])
    for eot, result in ((1, "INVALID"), (20, "TRUSTED")):
        attacks = [attack.change(eot=eot) for attack in (ATTACKS[0], ATTACKS[-1])]
        checks = gather(context(random_net, few, attacks=attacks), "quick")
        assert trust(checks) == result, failures(checks)
        assert set(failures(checks)) == ({5} if eot == 1 else set())


def test_normalised_images_are_named(cnn, data):
    normal = Digits(data.train_x, data.train_y, (data.x - 0.5) / 0.25, data.y)
    checks = gather(bare_context(cnn, normal), "quick")
    assert trust(checks) == "INVALID"
    assert "normalisation belongs in the model" in failures(checks)[2]
    assert failures(checks)[12].startswith("could not be carried out: InputError: ")


def test_nothing_given_is_nothing_passed(linear, data):
    """Without outcomes and records the checks that need them are skipped, and the number is not trusted."""
    checks = {check.number: check for check in gather(bare_context(linear, data), "quick")}
    assert {n for n, check in checks.items() if check.status == "skipped"} >= {
        1,
        3,
        *range(21, 25),
        *range(26, 30),
    }
    assert trust(list(checks.values())) == "SUSPECT"


def test_dear_checks_wait_for_their_tier(linear, data):
    checks = {check.number: check for check in gather(bare_context(linear, data), "quick")}
    later = {number for number, spec in CHECKS.items() if TIERS.index(spec.tier) > 0}
    assert later
    assert all(checks[number].status == "skipped" and "tier" in checks[number].evidence for number in later)


def test_same_seed_same_evidence_and_progress(cnn, data):
    told: list[tuple[int, int]] = []
    ctx = context(cnn, data)
    first = gather(ctx, "quick", lambda done, total: told.append((done, total)))
    assert told == [(k, 29) for k in range(1, 30)]
    assert gather(ctx, "quick") == first


def test_the_generators_are_left_alone(cnn, data):
    before = torch.get_rng_state()
    gather(bare_context(cnn, data), "quick")
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_input_is_refused(linear, data):
    with pytest.raises(InputError, match="tier 'large'"):
        gather(bare_context(linear, data), "large")
    with pytest.raises(InputError, match="at least one"):
        EvidenceContext(model=linear, x=data.x[:0], y=data.y[:0], attacks=ATTACKS)
    with pytest.raises(InputError, match="no attacks"):
        EvidenceContext(model=linear, x=data.x, y=data.y, attacks=())


@pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="ROBUSTPRUNE_DATA is not set")
@pytest.mark.parametrize(("file", "eps"), [("cifar10_robust_resnet4b.pth", 8), ("cifar10_resnet20-12fca82f.th", 1)])
def test_published_networks_are_trusted(file, eps, short_set):
    import numpy as np

    from robustprune.models import cifar10_resnet, load_weights, resnet4b

    root = Path(os.environ["ROBUSTPRUNE_DATA"])
    net: nn.Module = resnet4b() if "4b" in file else cifar10_resnet(20)
    load_weights(net, root / "checkpoints" / file).eval()
    raw = np.load(root / "cifar10" / "test_first_1000.npz")
    x = torch.from_numpy(raw["x"][:40]).permute(0, 3, 1, 2).float() / 255
    images = Digits(x, x, x, torch.from_numpy(raw["y"][:40]).long())
    checks = gather(context(net, images, attacks=tier("quick", "Linf", eps / 255)), "quick")
    assert trust(checks) == "TRUSTED", failures(checks)
