"""Whatever a number depends on is part of its key: what was edited is measured anew, what was not is found."""

import copy
import functools
from pathlib import Path

import pytest
import torch
from suite_files import Silent, evidence_taken_as_read

from robustprune.data import digits
from robustprune.finetune import Recipe, finetune
from robustprune.models import CifarResNet, Normalized, find_blocks, save_weights
from robustprune.prune import remove
from robustprune.run.behaviour import answers, route
from robustprune.run.store import Store
from robustprune.run.suite import CaseWork, recall, run_suite
from robustprune.suite.files import load_suite

SAMPLES = 40
TEXT = """
from robustprune.attacks import FGSM, TorchAttack
from robustprune.data import digits
from robustprune.models import CifarResNet, Normalized
from robustprune.suite import Case, Model, Suite
{setup}
SUITE = Suite(name="mine", data=digits, cases=[Case(model=Model(name="net", build={build}, weights="net.safetensors"))],
    attacks=({attack},), samples={samples}, minutes=1, timing_seconds=0.01, batches=(1,))
"""
FACTORY = """
MEAN, STD = ({mean},), ({std},)
def build():
    return Normalized(CifarResNet(8, width=4, in_channels=1), MEAN, STD)
"""
PLAIN = {
    "build": "lambda: Normalized(CifarResNet(8, width=4, in_channels=1), (0.0,), (1.0,))",
    "attack": "FGSM(eps=0.1)",
}


@pytest.fixture(scope="module", autouse=True)
def _evidence_taken_as_read():
    with evidence_taken_as_read():
        yield


@functools.cache
def trained():
    torch.manual_seed(0)
    net = Normalized(CifarResNet(8, width=4, in_channels=1), (0.0,), (1.0,))
    finetune(net, digits().train, Recipe(name="t", epochs=4, lr=0.1), seed=0)
    return net.eval()


def network(mean=0.0, std=1.0):
    """The same weights behind another normalisation."""
    net = copy.deepcopy(trained())
    net.normalize.mean.fill_(mean)
    net.normalize.std.fill_(std)
    return net


@pytest.fixture
def suite_in(tmp_path: Path):
    """Writes a suite file, with the same weights beside it, and loads it."""

    def write(folder="suites", setup="", samples=SAMPLES, **parts):
        file = tmp_path / folder / "mine.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_weights(network(), file.parent / "net.safetensors")
        file.write_text(TEXT.format(setup=setup, samples=samples, **{**PLAIN, **parts}))
        return load_suite(file)

    return write


def run(suite, tmp_path, workers=1):
    (case,) = run_suite(suite, Store(folder=tmp_path / "store"), Silent(), workers=workers)
    return case


def found(suite, tmp_path):
    work = CaseWork(suite=suite, store=Store(folder=tmp_path / "store"), device="cpu")
    return recall(suite.cases[0], work) is not None


def right(net):
    sample = digits().test.balanced(SAMPLES, seed=0)
    with torch.no_grad():
        return (net(sample.x).argmax(1) == sample.y).tolist()


def test_an_edited_constant_beside_the_factory(suite_in, tmp_path):
    for mean, std in ((0.0, 1.0), (0.5, 0.25)):
        suite = suite_in(setup=FACTORY.format(mean=mean, std=std), build="build")
        assert run(suite, tmp_path).clean == right(network(mean, std))
    assert right(network(0.0, 1.0)) != right(network(0.5, 0.25))


SCALED = """
from pathlib import Path
from torch import nn
SCALE = float((Path(__file__).parent / "scale").read_text())
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Normalized(CifarResNet(8, width=4, in_channels=1), (0.0,), (1.0,))
        self.inner.requires_grad_(False)
    def forward(self, x):
        return self.inner(x * SCALE)
    def load_state_dict(self, state, strict=True):
        return self.inner.load_state_dict(state, strict)
    def state_dict(self, *args, **kwargs):
        return self.inner.state_dict(*args, **kwargs)
"""


def test_a_value_that_a_class_reads_from_a_file_beside_it(suite_in, tmp_path):
    sample = digits().test.balanced(SAMPLES, seed=0)
    seen = []
    for scale in (1.0, 0.2):
        (tmp_path / "suites").mkdir(exist_ok=True)
        (tmp_path / "suites" / "scale").write_text(str(scale))
        case = run(suite_in(setup=SCALED, build="Net"), tmp_path)
        with torch.no_grad():
            assert case.clean == (network()(sample.x * scale).argmax(1) == sample.y).tolist()
        seen.append(case.clean)
    assert seen[0] != seen[1]


def test_two_suite_files_of_one_name(suite_in, tmp_path):
    for folder, mean in (("a/suites", 0.0), ("b/suites", 0.5)):
        suite = suite_in(folder, setup=FACTORY.format(mean=mean, std=0.5), build="build")
        assert run(suite, tmp_path).clean == right(network(mean, 0.5))
    assert right(network(0.0, 0.5)) != right(network(0.5, 0.5))


UNIVERSAL = """
import torch
from pathlib import Path
DELTA = torch.load(Path(__file__).parent / "delta.pt")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_another_tensor_inside_an_attack(suite_in, tmp_path, workers):
    """The first is seen by this process; the other, over the same store, by as many workers as are asked for."""
    attack = "TorchAttack(name='UAP', eps=0.3, build=lambda model: lambda x, y: (x + DELTA).clamp(0, 1), passes=1)"
    sample = digits().test.balanced(SAMPLES, seed=0)
    seen = []
    signs = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)).sign()
    for delta, count in ((torch.zeros(1, 1, 8, 8), 1), (0.3 * signs, workers)):
        (tmp_path / "suites").mkdir(exist_ok=True)
        torch.save(delta, tmp_path / "suites" / "delta.pt")
        suite = suite_in(setup=UNIVERSAL, attack=attack)
        case = run(suite, tmp_path, count)
        assert found(suite, tmp_path)  # a worker gives it the same name as this process
        with torch.no_grad():
            attacked = (network()((sample.x + delta).clamp(0, 1)).argmax(1) == sample.y).tolist()
        assert case.outcomes[0].robust == [a and b for a, b in zip(right(network()), attacked, strict=True)]
        seen.append(case.outcomes[0].robust)
    assert seen[0] != seen[1]


HIDDEN = """
from torch import nn
class Net(nn.Module):
    def __init__(self, dim=False):
        super().__init__()
        self.first = nn.Identity()
        self.first._dim = dim  # torch's own modules keep their bookkeeping in such attributes
        self.inner = Normalized(CifarResNet(8, width=4, in_channels=1), (0.0,), (1.0,))
        self.inner.requires_grad_(False)
    def forward(self, x):
        return self.inner(x * 0.2 if self.first._dim else x)
    def load_state_dict(self, state, strict=True):
        return self.inner.load_state_dict(state, strict)
    def state_dict(self, *args, **kwargs):
        return self.inner.state_dict(*args, **kwargs)
"""


def test_two_networks_of_one_class_and_the_same_weights_that_answer_otherwise_are_two(suite_in, tmp_path):
    """What tells them apart is nowhere in their code, attributes and weights: only their answers do."""
    sample = digits().test.balanced(SAMPLES, seed=0)
    for build, factor in (("Net", 1.0), ("lambda: Net(dim=True)", 0.2)):
        case = run(suite_in(setup=HIDDEN, build=build), tmp_path)
        with torch.no_grad():
            assert case.clean == (network()(sample.x * factor).argmax(1) == sample.y).tolist()


def test_a_flag_that_the_factory_sets_elsewhere_is_seen_in_the_answers():
    net, x = network().eval(), digits().test.x[:8]
    same = copy.deepcopy(net)
    assert answers(net, x) == answers(same, x)
    for change in (lambda m, i, o: o * 1.5, lambda m, i, o: o + 1, lambda m, i, o: -o, lambda m, i, o: o.flip(1)):
        other = copy.deepcopy(net)
        other.register_forward_hook(change)
        assert answers(other, x) != answers(net, x)
    noisy = copy.deepcopy(net)
    noisy.register_forward_hook(lambda module, inputs, output: output * (1 + 1e-7))
    assert answers(noisy, x) == answers(net, x)
    random = torch.nn.Sequential(net, torch.nn.Dropout(0.5).train())
    random[1].forward = lambda x: torch.nn.functional.dropout(x, 0.5, training=True)
    assert answers(random, x) == answers(random, x)


def test_a_block_that_is_passed_over_makes_another_way():
    net, x = network(), digits().test.x[:1]
    blocks = find_blocks(net, x)
    assert route(net, x) == route(copy.deepcopy(net), x) != route(remove(net, [blocks[0]]), x)


HELPER = "def factor():\n    return {factor}\n"
HELPED = """
from helper_of_mine import factor
def build():
    net = Normalized(CifarResNet(8, width=4, in_channels=1), (0.0,), (1.0,))
    net.register_forward_pre_hook(lambda module, inputs: (inputs[0] * factor(),))
    return net
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_helper_beside_the_suite_file_is_found_and_an_edit_of_it_seen(suite_in, tmp_path, workers):
    """In one process: both times it is loaded, and named, as it is."""
    sample = digits().test.balanced(SAMPLES, seed=0)
    for factor in (1.0, 0.25)[: 3 - workers]:
        (tmp_path / "suites").mkdir(exist_ok=True)
        (tmp_path / "suites" / "helper_of_mine.py").write_text(HELPER.format(factor=factor))
        case = run(suite_in(setup=HELPED, build="build"), tmp_path, workers)
        with torch.no_grad():
            assert case.clean == (network()(sample.x * factor).argmax(1) == sample.y).tolist()


def test_what_did_not_change_is_found(suite_in, tmp_path):
    run(suite_in(), tmp_path)
    assert found(suite_in(), tmp_path)
    assert found(suite_in(setup="# only a remark"), tmp_path)
    assert found(suite_in(setup="OTHER = None"), tmp_path)  # what is built is the same
    assert not found(suite_in(samples=20), tmp_path)
    assert not found(suite_in(attack="FGSM(eps=0.2)"), tmp_path)
