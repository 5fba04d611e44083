"""The evaluation loop: who is attacked, in which order, what is counted, and what cannot change a verdict."""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, linear_net, margins
from torch import nn

from robustprune.attacks import CW, FGSM, PGD, Noise, TorchAttack, evaluate
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.target import Counted, Target
from robustprune.attacks.engine.first_success import FirstSuccess
from robustprune.attacks.engine.precision import time_ratio, use_of_bfloat16
from robustprune.attacks.engine.session import Session
from robustprune.errors import InputError

pytestmark = pytest.mark.usefixtures("precision")

EPS = 4 / 255
LARGE = 8 / 255
"""Here FGSM and PGD differ on these networks."""
CHAIN = (PGD(eps=EPS, steps=8), FGSM(eps=EPS))


@pytest.fixture(scope="module")
def case():
    net, x = SmallConv(), images(120)
    y = labelled(net, x)
    y[::10] = (y[::10] + 1) % 4
    return net, x, y


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def statuses(evaluation):
    return [outcome.status for outcome in evaluation.outcomes]


def test_letters_are_true_and_the_order_is_the_callers(case):
    net, x, y = case
    found = evaluate(net, x, y, [attack.change(eps=LARGE) for attack in CHAIN], keep=True)
    pgd, fgsm = found.outcomes
    assert [pgd.attack, fgsm.attack] == ["PGD-8", "FGSM"]
    assert found.clean == (labelled(net, x) == y).tolist()
    for i in range(120):
        letters = (fgsm.status[i], pgd.status[i])
        assert letters in {("e", "e"), ("b", "p"), ("r", "b"), ("r", "r")}
        assert (letters[0] == "e") == (not found.clean[i])
    assert {"e", "p", "b", "r"} == set(pgd.status)
    for outcome, adv in zip(found.outcomes, found.adversarials, strict=True):
        fooled = labelled(net, adv) != y
        for i, letter in enumerate(outcome.status):
            if letter == "b":
                assert fooled[i]
                assert (adv[i] - x[i]).abs().max() == pytest.approx(outcome.distance[i], abs=1e-6)
                assert outcome.distance[i] <= LARGE + 1e-6
            else:
                assert torch.equal(adv[i], x[i])
                assert outcome.distance[i] != outcome.distance[i]


def test_threat_models_are_separate_chains():
    """On a linear net one step breaks what lies within eps: each budget its own, though the larger breaks more."""
    net, x, y = linear_case(200)
    distance = margins(net, x, y, 1)
    eps = float(distance.sort().values[99:101].mean())
    attacks = [FGSM(eps=2 * eps), FGSM(eps=eps), PGD(eps=eps, steps=3)]
    big, small, later = (
        torch.tensor([ord(letter) for letter in status]) for status in statuses(evaluate(net, x, y, attacks))
    )
    assert torch.equal(big == ord("b"), distance <= 2 * eps)
    assert torch.equal(small == ord("b"), distance <= eps)
    assert torch.equal(later == ord("p"), distance <= eps)
    assert (distance <= eps).sum() < (distance <= 2 * eps).sum() < 200


def test_cost_is_counted_in_samples(case):
    net, x, y = case
    right = int((labelled(net, x) == y).sum())
    fgsm = evaluate(net, x, y, [FGSM(eps=EPS)], precision="float32").outcomes[0]
    assert (fgsm.forwards, fgsm.backwards) == (2 * right, right)
    noise = evaluate(net, x, y, [Noise(eps=1e-6, draws=3)], precision="float32").outcomes[0]
    assert (noise.forwards, noise.backwards) == (3 * right, 0)


def test_a_chain_costs_less_than_its_attacks_alone(case):
    net, x, y = case
    chain = evaluate(net, x, y, CHAIN, precision="float32").outcomes
    alone = [evaluate(net, x, y, [attack], precision="float32").outcomes[0] for attack in CHAIN]
    assert sum(o.backwards for o in chain) < sum(o.backwards for o in alone)
    assert sum(o.backwards for o in chain) < 0.7 * 9 * 120


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batch_size_changes_nothing(case, batch_size):
    net, x, y = case
    attacks = [*CHAIN, PGD(eps=0.3, norm="L2", steps=8), CW(eps=0.3, steps=10, c=(0.1, 1.0)), Noise(eps=EPS)]
    x, y = x[:20], y[:20]
    assert statuses(evaluate(net, x, y, attacks, batch_size=batch_size)) == statuses(
        evaluate(net, x, y, attacks, batch_size=20)
    )


def test_order_and_company_change_nothing(case):
    net, x, y = case
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    straight = evaluate(net, x, y, CHAIN)
    mixed = evaluate(net, x[order], y[order], CHAIN)
    for a, b in zip(straight.outcomes, mixed.outcomes, strict=True):
        assert [a.status[i] for i in order.tolist()] == list(b.status)
    few = evaluate(net, x[5:25], y[5:25], CHAIN)
    assert [s[5:25] for s in statuses(straight)] == statuses(few)


def test_seeds_decide_and_nothing_else(case):
    net, x, y = case
    once, again, other = (evaluate(net, x, y, [PGD(eps=EPS, steps=1)], seed=seed, keep=True) for seed in (3, 3, 4))
    torch.manual_seed(99)
    assert torch.equal(once.adversarials[0], again.adversarials[0])
    assert once.outcomes[0].distance == pytest.approx(again.outcomes[0].distance, nan_ok=True, abs=0)
    assert not torch.equal(once.adversarials[0], other.adversarials[0])


def test_threads_share_the_work_and_change_nothing(case, two_threads):
    net, (x, y) = case[0], (part[:60] for part in case[1:])
    seen = []
    both = evaluate(net, x, y, [*CHAIN, Noise(eps=EPS)], tick=lambda done, total: seen.append((done, total)))
    assert torch.get_num_threads() == 2
    assert seen[-1] == (180, 180)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    torch.set_num_threads(1)
    one = evaluate(net, x, y, [*CHAIN, Noise(eps=EPS)])
    assert statuses(both) == statuses(one)
    assert [o.forwards for o in both.outcomes] == [o.forwards for o in one.outcomes]


def test_progress_reaches_its_total(case):
    net, x, y = case
    seen = []
    evaluate(net, x, y, [*CHAIN, CW(eps=0.1, steps=2)], tick=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (360, 360)


def with_copy(copy, net, x, y, attacks):
    """The outcomes' letters where gradients are taken from `copy`, and `net` is the judge."""
    passes, device = Passes(), torch.device("cpu")
    frozen = net.requires_grad_(False)
    target = Target(Counted(copy, passes, device), Counted(frozen, passes, device), device, 64, passes)
    found = Session(target, x, y, 0, len(attacks), None).run(attacks, None)
    net.requires_grad_(True)
    return statuses(found)


def test_the_copy_proposes_and_the_original_disposes(case):
    net, x, y = case

    class Liar(nn.Module):
        def forward(self, x):
            return -100 * net(x)

    gentle = [PGD(eps=1e-6, steps=5, restarts=2), FGSM(eps=1e-6), CW(eps=1e-6, steps=3)]
    assert set("".join(with_copy(Liar(), net, x, y, gentle))) == {"r", "e"}


def test_what_the_copy_misses_the_original_still_sees(case):
    net, x, y = case

    class Blind(nn.Module):
        """The right gradients, but always sure of the true class."""

        def forward(self, z):
            logits = net(z)
            return logits - logits.detach() + 5 * nn.functional.one_hot(labels(z), 4)

    def labels(z):
        nearest = torch.cdist(z.detach().flatten(1), x.flatten(1)).argmin(1)
        return y[nearest]

    truth = evaluate(net, x, y, [FGSM(eps=EPS)]).outcomes[0].status
    assert with_copy(Blind(), net, x, y, [FGSM(eps=EPS)])[0].count("b") > 0.7 * truth.count("b")


def test_an_iterate_that_comes_back_ends_the_run():
    net, x, y = linear_case(60)
    outcome = evaluate(net, x, y, [PGD(eps=1e-4, steps=100, alpha=1e-4)], precision="float32").outcomes[0]
    resisted = [steps for steps, letter in zip(outcome.steps, outcome.status, strict=True) if letter == "r"]
    assert len(resisted) > 40
    assert max(resisted) <= 4  # at the corner after two steps, and there it stays


def test_shrinking_steps_do_not_end_a_run_too_early():
    """An iterate may come back under long steps and be left under shorter ones: that is no circle."""

    class Valley(nn.Module):
        """The loss has its top at 0.5; steps of length 0.2 jump over it, back and forth."""

        def forward(self, x):
            height = 0.01 - (x.flatten(1) - 0.5).abs()
            return torch.cat([torch.zeros_like(height), height], 1)

    x, y = torch.full((1, 1, 1, 1), 0.4), torch.tensor([0])
    steps = PGD(eps=0.2, steps=30, random_start=False)
    assert evaluate(Valley(), x, y, [steps.change(alpha=0.2)]).outcomes[0].status == "r"
    assert evaluate(Valley(), x, y, [steps]).outcomes[0].status == "b"


@pytest.mark.parametrize("error", [MemoryError("no more"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_halves_the_batch_and_loses_nothing(case, error):
    net, (x, y) = case[0], (part[:60] for part in case[1:])

    class Tight(nn.Module):
        def forward(self, x):
            if len(x) > 20:
                raise error
            return net(x)

    attacks = [*CHAIN, CW(eps=0.1, steps=3, c=(1.0,)), Noise(eps=EPS)]
    found = evaluate(Tight(), x, y, attacks, batch_size=50)
    assert statuses(found) == statuses(evaluate(net, x, y, attacks))
    assert found.notes["batch_size"] <= 20


def test_out_of_memory_for_a_single_sample_is_a_failure(case):
    net, x, y = case

    class Full(nn.Module):
        def forward(self, x):
            if x.requires_grad:
                raise MemoryError("no more")
            return net(x)

    outcome = evaluate(Full(), x[1:9], y[1:9], [FGSM(eps=EPS)]).outcomes[0]
    assert outcome.status == "f" * 8
    assert outcome.error == "MemoryError: no more"


def test_a_network_without_a_gradient_fails_and_is_not_robust(case):
    net, x, y = case

    class Cut(nn.Module):
        def forward(self, x):
            return net(x.detach())

    outcome = evaluate(Cut(), x[1:9], y[1:9], [PGD(eps=EPS)]).outcomes[0]
    assert outcome.status == "f" * 8
    assert "no gradient reaches the input" in outcome.error


@dataclass(frozen=True, kw_only=True)
class FallsOver(PGD):
    def stepper(self, model):
        raise OSError("disk full")


def test_an_attack_that_falls_over_has_failed_and_the_others_go_on(case):
    net, x, y = case
    fallen, fgsm = evaluate(net, x, y, [FallsOver(eps=EPS, steps=30), FGSM(eps=EPS)], keep=True).outcomes
    assert set(fallen.status) == {"f", "p", "e"}
    assert fallen.error == "OSError: disk full"
    assert {"b", "r"} <= set(fgsm.status)


def test_samples_that_cannot_even_be_classified_have_failed(case):
    net, x, y = case

    class Picky(nn.Module):
        def forward(self, x):
            if (x.flatten(1)[:, 0] > 0.9).any():
                raise ValueError("too bright")
            return net(x)

    found = evaluate(Picky(), x[1:40], y[1:40], [FGSM(eps=1e-6)], batch_size=1)
    bright = x[1:40].flatten(1)[:, 0] > 0.9
    assert bright.any()
    assert [letter == "f" for letter in found.outcomes[0].status] == bright.tolist()
    assert found.outcomes[0].error == "ValueError: too bright"


def test_an_interrupt_leaves_what_is_finished(case, two_threads):
    net, x, y = case
    kept = []

    def build(model):
        raise KeyboardInterrupt

    late = TorchAttack(name="late", build=build, eps=EPS, passes=1000.0)
    with pytest.raises(KeyboardInterrupt):
        evaluate(net, x, y, [late, *CHAIN], on_outcome=kept.append)
    assert [outcome.attack for outcome in kept] == ["FGSM", "PGD-8"]
    assert torch.get_num_threads() == 2


def test_an_interrupt_in_the_middle_stops_the_workers(case, two_threads):
    net, x, y = case

    def tick(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(net, x, y, [PGD(eps=1e-6, steps=2000)], tick=tick)
    assert torch.get_num_threads() == 2


def test_low_precision_proposes_and_float32_decides(case):
    net, x, y = case
    low = evaluate(net, x, y, CHAIN, precision="bfloat16", keep=True)
    full = evaluate(net, x, y, CHAIN, precision="float32")
    for a, b, adv in zip(low.outcomes, full.outcomes, low.adversarials, strict=True):
        # Every float32 success is found again, since survivors are attacked anew; bfloat16 may add true ones.
        assert all(not robust or other for robust, other in zip(a.robust, b.robust, strict=True))
        broken = torch.tensor([letter == "b" for letter in a.status])
        assert (labelled(net, adv) != y)[broken].all()
        assert a.notes["precision"] == "bfloat16, then float32"
    assert sum(o.forwards for o in low.outcomes) > sum(o.forwards for o in full.outcomes)


@pytest.mark.parametrize(("ratio", "used"), [(0.05, True), (0.95, False)])
def test_auto_makes_the_first_pass_only_after_a_trial_that_shows_a_gain(case, monkeypatch, ratio, used):
    """Timed as if a step in bfloat16 took so much of one in float32; the first 16 samples are the trial."""
    net, x, y = case
    attack = PGD(eps=0.1, steps=40, alpha=0.01)
    monkeypatch.setattr("robustprune.attacks.engine.evaluate.use_of_bfloat16", lambda *_: "where it pays")
    monkeypatch.setattr("robustprune.attacks.engine.stepwise.time_ratio", lambda *_: ratio)
    tried = evaluate(net, x, y, [attack], batch_size=16).outcomes[0]
    plain = evaluate(net, x, y, [attack], batch_size=16, precision="float32").outcomes[0]
    assert tried.notes["precision"] == ("bfloat16, then float32, after a trial" if used else "float32")
    assert all(not robust or other for robust, other in zip(tried.robust, plain.robust, strict=True))
    if not used:
        assert (tried.status, tried.steps, tried.forwards) == (plain.status, plain.steps, plain.forwards)


@pytest.mark.parametrize(
    ("attacks", "timings"),
    [
        ([PGD(eps=0.1, steps=40, alpha=0.01), PGD(eps=0.12, steps=40, alpha=0.01)], 1),
        ([FGSM(eps=0.1)], 0),
        ([PGD(eps=1e-4, steps=40)], 0),
    ],
    ids=["once for all attacks", "not for a single step", "not where next to nothing breaks"],
)
def test_a_pass_is_timed_where_that_can_pay_and_once(case, monkeypatch, attacks, timings):
    net, x, y = case
    made = []
    monkeypatch.setattr("robustprune.attacks.engine.evaluate.use_of_bfloat16", lambda *_: "where it pays")
    monkeypatch.setattr("robustprune.attacks.engine.stepwise.time_ratio", lambda *_: made.append(1) or 0.05)
    found = evaluate(net, x, y, attacks, batch_size=16)
    assert len(made) == timings
    assert all(("trial" in one.notes["precision"]) == (timings == 1) for one in found.outcomes)


def test_auto_is_float32_where_a_batch_holds_all_samples(case, monkeypatch):
    net, x, y = case
    monkeypatch.setattr("robustprune.attacks.engine.evaluate.use_of_bfloat16", lambda *_: "where it pays")
    tried, plain = (
        evaluate(net, x, y, CHAIN, batch_size=128, precision=precision) for precision in ("auto", "float32")
    )
    for a, b in zip(tried.outcomes, plain.outcomes, strict=True):
        assert (a.status, a.steps, a.forwards, a.notes["precision"]) == (b.status, b.steps, b.forwards, "float32")


def test_the_trial_times_both_copies_for_real():
    """A network that is slow in bfloat16 alone, and one that is slow in float32 alone."""

    class Slow(nn.Module):
        def __init__(self, seconds):
            super().__init__()
            self.seconds = seconds

        def forward(self, x):
            time.sleep(self.seconds)
            return x.flatten(1)

    x = torch.rand(2, 1, 2, 2)
    assert time_ratio(Slow(0.02), Slow(0.001), x) > 3
    assert time_ratio(Slow(0.001), Slow(0.02), x) < 0.5


def test_a_processor_without_units_for_bfloat16_stays_in_float32(monkeypatch):
    cpu = torch.device("cpu")
    for able, use in ((False, "never"), (True, "where it pays")):
        monkeypatch.setattr("robustprune.attacks.engine.precision.cpu_has_bfloat16", lambda able=able: able)
        assert use_of_bfloat16("auto", cpu) == use
        assert use_of_bfloat16("float32", cpu) == "never"
        assert use_of_bfloat16("bfloat16", cpu) == "always"


@pytest.mark.parametrize(
    ("settings", "words"), [({"batch_size": 0}, "at least 1"), ({"precision": "half"}, "auto, float32, bfloat16")]
)
def test_bad_settings_are_refused(case, settings, words):
    with pytest.raises(InputError, match=words):
        evaluate(*case, CHAIN, **settings)


def test_two_attacks_of_one_name_and_budget_are_refused(case):
    net, x, y = case
    with pytest.raises(InputError, match="FGSM at Linf 4/255 is there twice"):
        evaluate(net, x, y, [FGSM(eps=EPS), FGSM(eps=EPS)])


def test_eps_zero_breaks_nothing():
    net, x, y = linear_case(20)
    attacks = [FGSM(eps=0), PGD(eps=0), PGD(eps=0, norm="L2"), Noise(eps=0), CW(eps=0, steps=2)]
    assert statuses(evaluate(net, x, y, attacks)) == ["r" * 20] * 5


def test_a_tuple_in_which_nothing_is_logits_is_refused():
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(InputError, match="which are its logits"):
        evaluate(Two(), images(2), torch.tensor([0, 0]), [])


def test_logits_that_are_no_numbers_are_not_robust():
    net = linear_net(torch.zeros(2, 64), torch.tensor([float("nan"), 0.0]))
    found = evaluate(net, images(3), torch.tensor([0, 0, 1]), [FGSM(eps=0.1)])
    assert found.clean == [False] * 3


@dataclass(frozen=True, kw_only=True)
class Overreach(PGD):
    """Steps that leave the ball: twice as far as eps allows, or out of the box."""

    def stepper(self, model):
        steps = super().stepper(model)
        steps.advance = lambda state, seen: state.update(adv=state["x"] + 2 * self.eps * seen.grad.sign())
        return steps


def test_an_attack_that_leaves_its_ball_breaks_nothing():
    net, x, y = linear_case(100)
    near = margins(net, x, y, 1) <= 0.01
    far = margins(net, x, y, 1) <= 0.02
    assert near.sum() < far.sum()
    outcome = evaluate(net, x, y, [Overreach(eps=0.01, steps=3, random_start=False)]).outcomes[0]
    assert outcome.status == "r" * 100
    assert near.sum() > 0


@pytest.mark.parametrize(("steady", "circles"), [(0, [True, True, False]), (2, [False, True, False])])
def test_an_iterate_counts_as_back_only_where_the_steps_are_alike(steady, circles):
    code = SimpleNamespace(
        stepper=SimpleNamespace(steady=steady), memory=False, circles=True, fingerprint=lambda adv: adv[:, 0]
    )
    state = {"history": torch.tensor([[7, 8, 9, 0], [5, 6, 7, 0], [4, 5, 6, 0]]), "step": torch.tensor([3, 3, 3])}
    now, then = torch.tensor([[7], [7], [7]]), torch.tensor([[1], [1], [1]])
    assert FirstSuccess.came_back(code, state | {"adv": now}, then).tolist() == circles
    assert FirstSuccess.came_back(code, state | {"adv": now}, now).all()
