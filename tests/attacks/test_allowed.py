"""What an attack may spend on a sample: counted on networks that nothing breaks."""

import pytest
import torch
from attack_nets import images, rugged_net, small_case
from torch import nn

from robustprune.attacks import (
    APGD,
    APGDT,
    ATTACKS,
    CW,
    FGSM,
    FMN,
    MIFGSM,
    PGD,
    AdaptivePGD,
    HopSkipJump,
    Noise,
    Square,
    TargetedPGD,
    TorchAttack,
    Transfer,
    evaluate,
)
from robustprune.attacks.contract.found import Passes
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import outcomes_from, outcomes_record

EPS = {"Linf": 0.06, "L2": 0.3, "L1": 1.0}
N = 6


def fixed(norm):
    """Attacks whose schedule nothing shortens, and the passes that their papers' loops make, forward and backward."""
    eps = {"eps": EPS[norm], "norm": norm}
    found = [
        (Noise(**eps, draws=4), 4, 0),
        (PGD(**eps, steps=5, restarts=2, loss="margin", retries=0), 2 * (5 + 1), 2 * 5),
        (PGD(**eps, steps=5, eot=3, loss="margin", retries=0), 5 * 3 + 1, 5 * 3),
        (TargetedPGD(**eps, steps=4, targets=2, candidates=5), 1 + 2 * (4 + 1), 5 + 2 * 4),
        (AdaptivePGD(**eps, steps=4, directed=2, rounds=1), 6 + 1, 6),
        (Transfer(**eps, steps=5, loss="margin", retries=0), 5 + 5 + 1, 5),
    ]
    if norm != "L1":
        found += [
            (MIFGSM(**eps, steps=3), 3 + 1, 3),
            (APGD(**eps, steps=7, restarts=2), 2 * (7 + 1), 2 * 7),
            (APGDT(**eps, steps=6, n_classes=6, targets=3), 1 + 3 * (6 + 1), 3 * 6),
            (Square(**eps, queries=9, restarts=2), 2 * (9 + 1), 0),
            (Square(**eps, queries=9, eot=2), 2 * 9 + 1, 0),
            (HopSkipJump(**eps, queries=20), 20, 0),
        ]
    return found + ([(FGSM(eps=0.06), 2, 1), (FGSM(eps=0.06, eot=2), 3, 2)] if norm == "Linf" else [])


@pytest.fixture(scope="module")
def robust():
    """A network that is far from linear inside the budget, and images that nothing here breaks."""
    net = rugged_net()
    net[3].bias.data[0] += 50
    return (net, *small_case(net, N))


@pytest.mark.parametrize("norm", EPS)
def test_what_a_fixed_schedule_spends_is_what_it_is_allowed(robust, norm):
    net, x, y = robust
    for attack, forwards, backwards in fixed(norm):
        assert attack.allowed == Passes(forwards, backwards), attack.name
        outcome = evaluate(net, x, y, [attack], parent=net, precision="float32").outcomes[0]
        assert outcome.status == "r" * N
        assert (outcome.forwards, outcome.backwards) == (N * forwards, N * backwards), attack.name
        assert (outcome.allowed_forwards, outcome.allowed_backwards) == (forwards, backwards)


class Denies(nn.Module):
    """Shows an attack that takes gradients the boundary of `net`, and the judge, who takes none, none at all."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        logits = self.net(x)
        return logits if x.requires_grad else logits.detach() + 100 * torch.eye(6)[0]


@pytest.mark.parametrize(
    ("attack", "forwards", "backwards"),
    [
        (FMN(eps=0.1, steps=5), 2 * (6 + 1), 2 * 6),
        (FMN(eps=0.5, norm="L2", steps=5, targets=2, candidates=5), 1 + 4 * (6 + 1), 5 + 4 * 6),
        (CW(eps=0.5, steps=30, lr=0.2, c=(10.0, 100.0)), 4 * (31 + 1), 4 * 31),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_an_attack_that_is_always_refused_makes_every_run_twice_and_no_more(attack, forwards, backwards):
    net = rugged_net()
    net[3].bias.data[0] -= 4
    x = images(40, 1, (2, 8, 8))
    x = x[net(x).argmax(1) == 0][:N]
    assert len(x) == N
    outcome = evaluate(Denies(net), x, torch.zeros(N, dtype=torch.int64), [attack], precision="float32").outcomes[0]
    assert attack.allowed == Passes(forwards, backwards)
    assert (outcome.status, outcome.forwards, outcome.backwards) == ("r" * N, N * forwards, N * backwards)


def test_nothing_spends_more_than_it_is_allowed_where_samples_break():
    net = rugged_net()
    x, y = small_case(net, 40)
    net[3].bias.data[0] -= 4
    attacks = [attack for one in ATTACKS.values() if (attack := one()).norm not in (EMBEDDING, WORDS)]
    few = {"steps": 6, "queries": 30, "n_classes": 6, "c": (1.0, 10.0)}
    attacks = [one.change(**{name: few[name] for name in few if hasattr(one, name)}) for one in attacks]
    for attack in attacks:
        outcome = evaluate(net, x, y, [attack], parent=net, precision="float32").outcomes[0]
        attacked = len(x) - outcome.status.count("e")
        assert attacked > 5
        assert outcome.forwards <= attacked * attack.allowed.forwards, attack.name
        assert outcome.backwards <= attacked * attack.allowed.backwards, attack.name


def test_every_attack_with_a_name_says_what_it_may_spend_and_one_of_ones_own_need_not():
    for make in ATTACKS.values():
        attack = make()
        assert attack.allowed.forwards > 0
        assert (attack.allowed.backwards > 0) == (attack.knowledge in ("white box", "the parent's gradients"))
    mine = TorchAttack(name="mine", eps=0.1, build=lambda model: lambda x, y: x)
    assert mine.allowed is None
    assert mine.allowance == {}


def test_records_of_earlier_versions_state_nothing(robust):
    net, x, y = robust
    record = outcomes_record(evaluate(net, x, y, [FGSM(eps=0.06)]).outcomes[0])
    assert (outcomes_from(record).allowed_forwards, outcomes_from(record).allowed_backwards) == (2, 1)
    earlier = {name: value for name, value in record.items() if not name.startswith("allowed")}
    assert outcomes_from(earlier).allowed_forwards is None
    assert outcomes_from(earlier).allowed_backwards is None
