"""Nothing mixes two devices: what a GPU refuses is refused here without one; the answers are the processor's."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from apart import APART
from mini_suite import write_mini
from torch import nn

from robustprune.attacks import PGD, EmbeddingPGD, Substitution, Transfer, evaluate, robust_curve, tier
from robustprune.attacks.algorithms.catalogue import ATTACKS
from robustprune.criteria import ScoringContext
from robustprune.criteria.catalogue import CRITERIA
from robustprune.data import WordPiece, digits
from robustprune.evidence import EvidenceContext, gather
from robustprune.evidence.stronger import parts
from robustprune.finetune import finetune
from robustprune.finetune.named import RECIPES
from robustprune.models import CifarResNet, TextNetwork, find_blocks, kinds_of, load_weights
from robustprune.run.shelf import measure_suite, shelf
from robustprune.suite.files import open_suite

CPU = torch.device("cpu")
LESS = {"queries": 20, "steps": 3, "angles": 3, "shifts": 3}
"""Attacks as short as that meet every line of theirs."""


@pytest.fixture(scope="module")
def net():
    model = open_suite("suites/digits.py").cases[0].model
    return load_weights(model.build(), f"suites/{model.weights}").eval()


@pytest.fixture(scope="module")
def sample():
    return digits().test.balanced(20, seed=0)


def shorter(attack):
    """The same attack with fewer steps, queries or transforms."""
    fields = type(attack).__dataclass_fields__
    return replace(attack, **{name: number for name, number in LESS.items() if name in fields})


@pytest.fixture(autouse=True)
def short_set(monkeypatch):
    """Let the checks run AutoAttack's set in short."""
    monkeypatch.setattr("robustprune.evidence.stronger.parts", lambda *given: tuple(map(shorter, parts(*given))))


def test_the_device_refuses_what_a_gpu_refuses():
    x, w = torch.rand(4, 3), torch.rand(3, 2)
    there, place = x.to(APART), torch.tensor([0, 1])
    torch.testing.assert_close((there @ w.to(APART)).cpu(), x @ w)
    torch.testing.assert_close((there[place] * torch.tensor(2.0)).cpu(), x[:2] * 2)
    assert there.device == APART
    assert not there.is_cpu
    for mixed in (
        lambda: there @ w,
        lambda: x + there,
        lambda: x[place.to(APART)],
        lambda: torch.where(x > 0, there, 0),
    ):
        with pytest.raises(RuntimeError, match="on the same device"):
            mixed()
    with pytest.raises(RuntimeError):
        np.asarray(there)


def test_gradients_are_the_processors():
    x, net = torch.rand(4, 3, 8, 8), CifarResNet(14, width=2).eval()
    grads = []
    for device in (CPU, APART):
        leaf = x.to(device).requires_grad_()
        grads.append(torch.autograd.grad(copy.deepcopy(net).to(device)(leaf).logsumexp(1).sum(), leaf)[0].cpu())
    assert grads[0].abs().sum() > 0
    torch.testing.assert_close(*grads)


def images():
    made = {name: make() for name, make in ATTACKS.items()}
    return {name: one for name, one in made.items() if not name.startswith(("embedding", "substitution", "transfer"))}


@pytest.mark.parametrize("attack", images().values(), ids=images())
def test_attacks_find_what_they_find_on_the_processor(attack, net, sample):
    attack = shorter(attack)
    here, there = (evaluate(net, sample.x, sample.y, [attack], device=one).outcomes[0] for one in (CPU, APART))
    assert there.error is None
    assert (here.status, here.forwards, here.backwards) == (there.status, there.forwards, there.backwards)


def test_perturbations_of_a_parent_and_curves_are_the_processors(net, sample):
    attack, parent = Transfer(eps=0.1, steps=3), CifarResNet(14, width=4, in_channels=1).eval()
    moved = [evaluate(net, sample.x, sample.y, [attack], parent=parent, device=one).outcomes[0] for one in (CPU, APART)]
    curves = [
        robust_curve(net, sample.x, sample.y, PGD(eps=0.1, steps=3), [0.02, 0.1], device=one) for one in (CPU, APART)
    ]
    for here, there in [moved, *zip(*curves, strict=True)]:
        assert there.error is None
        assert here.status == there.status


class Words(TextNetwork):
    """Two classes of texts by what their words weigh."""

    def __init__(self, vocabulary):
        super().__init__(nn.Embedding(len(vocabulary), 8), kinds_of(vocabulary))
        self.weigh = nn.Linear(8, 2)

    def read(self, words, real):
        return self.weigh((words * real[..., None]).sum(1))


@pytest.mark.parametrize("attack", [EmbeddingPGD(eps=0.3), Substitution(eps=2, neighbours=3, cosine=-1.0)], ids=str)
def test_attacks_on_texts_find_what_they_find_on_the_processor(attack):
    words = WordPiece(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"{a}{b}" for a in "bdfgkl" for b in "aeiou")))
    net = Words(words.vocabulary).eval()
    x = words.encoded(["ba de fi", "go ku la", "le li lo", "da do du"], 8)
    y = net(x).argmax(1)
    here, there = (evaluate(net, x, y, [attack], device=one).outcomes[0] for one in (CPU, APART))
    assert there.error is None
    assert here.status == there.status


class Noisy(nn.Module):
    """A network that adds noise to what it is given."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + 0.02 * torch.randn_like(x))


@pytest.mark.parametrize(
    ("kind", "norm", "eps"),
    [(nn.Sequential, "Linf", 0.1), (nn.Sequential, "L2", 0.5), (nn.Sequential, "L1", 2.0), (Noisy, "Linf", 0.1)],
)
def test_every_check_can_be_carried_out(kind, norm, eps, net, sample):
    x, y, whole = sample.x[:2], sample.y[:2], kind(copy.deepcopy(net)).eval()
    attacks, made = tier("quick", norm, eps), {}
    for device in (CPU, APART):
        found = evaluate(whole, x, y, attacks, device=device)
        there = copy.deepcopy(whole).to(device)
        seen = {"outcomes": found.outcomes, "clean": found.clean, "parent": there, "margin": 0.05, "runs": 3}
        made[device] = gather(EvidenceContext(model=there, x=x, y=y, attacks=attacks, **seen), "quick")
    assert not [one for one in made[APART] if one.evidence.startswith("could not be carried out")]
    if kind is nn.Sequential:
        assert [(one.number, one.status) for one in made[APART]] == [(one.number, one.status) for one in made[CPU]]


@pytest.mark.parametrize("name", CRITERIA)
def test_criteria_score_as_on_the_processor(name, net, sample):
    scores = []
    for device in (CPU, APART):
        there, x = copy.deepcopy(net).to(device), sample.x.to(device)
        scores.append(
            CRITERIA[name]()(ScoringContext(there, find_blocks(there, x[:2]), x, sample.y.to(device), seed=0))
        )
    assert scores[1] == pytest.approx(scores[0], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_train_as_on_the_processor(name, sample):
    """Sums are the same here, so weights differ by what an attack's sign makes of a rounding, if at all."""
    start, recipe = CifarResNet(14, width=2, in_channels=1), RECIPES[name]()
    recipe = replace(recipe, epochs=min(recipe.epochs, 1), batch_size=6)
    near, trained = [name for name, _ in start.named_modules() if name == "layer1.0.conv1"], []
    for device in (CPU, APART):
        net, teacher = copy.deepcopy(start).to(device), copy.deepcopy(start).to(device)
        finetune(net, sample, recipe, 0, teacher=teacher, near=near)
        trained.append(torch.cat([one.detach().cpu().flatten() for one in net.state_dict().values()]).double())
    torch.testing.assert_close(*trained, rtol=0, atol=0.01)


def test_a_suite_is_measured_as_on_the_processor(tmp_path, monkeypatch):
    """Memory is counted by storages, which these tensors have none of."""
    monkeypatch.setattr("robustprune.machine.available_devices", lambda: ["cpu", "apart:0"])
    monkeypatch.setattr("robustprune.cost.peak_memory", lambda model, x: (0, "not on this device"))
    whole = open_suite(str(write_mini(tmp_path)))
    suite = replace(whole, cases=[case for case in whole.cases if case.model.name == "net-0"])
    here, there = (
        measure_suite(suite, shelf(suite, tmp_path / one), device=one, workers=1) for one in ("cpu", "apart")
    )
    for one, other in zip(here, there, strict=True):
        assert (one.removed, one.clean) == (other.removed, other.clean)
        assert [found.status for found in one.outcomes] == [found.status for found in other.outcomes]
        assert [(check.number, check.status) for check in one.checks] == [
            (check.number, check.status) for check in other.checks
        ]
        assert other.environment["device"] == "apart"


def test_a_causal_model_is_shortened_as_on_the_processor():
    transformers = pytest.importorskip("transformers", reason="pip install 'robustprune[hf]'")
    from robustprune.names import find
    from robustprune.ship.language.comparing import compared, whole
    from robustprune.ship.language.windows import windows

    config = transformers.GPT2Config(n_layer=3, n_embd=8, n_head=2, n_positions=16, vocab_size=20)
    model = transformers.GPT2LMHeadModel(config).eval()
    cut = windows(torch.arange(400).remainder(19).tolist(), 10, 10, 20)
    found = []
    for device in (CPU, APART):
        there = copy.deepcopy(model).to(device)
        moved = replace(cut, scoring=cut.scoring.to(device), evaluation=cut.evaluation.to(device))
        (one,) = compared(there, moved, 1, [find("criteria", "block-influence")])
        found.append((one.removed, one.perplexity.value, whole(there, moved).value))
    assert found[0][0] == found[1][0]
    assert found[0][1:] == pytest.approx(found[1][1:], rel=1e-5)
