"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from robustprune.attacks import evaluate
from robustprune.cli.verbs import main
from robustprune.criteria import ScoringContext
from robustprune.data import digits
from robustprune.models import find_blocks
from robustprune.prune import remove
from robustprune.suite.cases import Suite

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def shown():
    """Everything that the README's Python defines, run from top to bottom."""
    data = digits()
    names = {"x": data.train.x, "y": data.train.y % 2, "x_test": data.test.x, "y_test": data.test.y % 2}
    exec("\n".join(blocks("python")), names)
    return names


def test_the_suite_is_one(shown):
    suite = shown["SUITE"]
    assert isinstance(suite, Suite)
    assert len(suite.cases) == 1 + 3 + 2 * 3


def test_own_recipes_are_recipes(shown):
    assert (shown["robust"].adversarial.beta, shown["robust"].epochs) == (6.0, 10)
    assert (shown["head"].train, shown["head"].shares(1000)) == ("head", (900, 100))


def test_own_model_loses_blocks(shown):
    net, x = shown["mine"].build().eval(), torch.rand(2, 3, 64, 64)
    names = [block.name for block in find_blocks(net, x)]
    assert names
    assert remove(net, names[-1:], x)(x).shape == (2, 10)


def test_own_data_and_criterion_score_blocks(shown):
    data = shown["scans"]()
    net = shown["net"].build().eval()
    found = find_blocks(net, data.test.x[:1])
    ctx = ScoringContext(model=net, blocks=found, x=data.train.x[:32], y=data.train.y[:32])
    scores = shown["FeatureNorm"]()(ctx)
    assert set(scores) == {block.name for block in found}
    assert min(scores.values()) > 0


def test_own_attack_breaks_something(shown):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    x = digits().test.x[:40]
    y = net(x).argmax(1)
    outcome = evaluate(net, x, y, [shown["mifgsm"]]).outcomes[0]
    assert outcome.error is None
    assert "b" in outcome.status


def test_commands_name_verbs_and_files_that_exist():
    for line in re.findall(r"robustprune (\w+) ([\w./]+\.py)?", "\n".join(blocks("sh"))):
        verb, file = line
        assert verb in main.commands
        assert not file or file == "suites/mine.py" or file == "my_models.py" or (README.parent / file).is_file()


def tables(text: str) -> list[list[dict[str, str]]]:
    """Every Markdown table of a text, a row as column -> cell."""
    found = []
    for lines in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *body = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines.splitlines()]
        found.append([dict(zip(head, cells, strict=True)) for cells in body])
    return found


@pytest.mark.parametrize("suite", ["digits", "fashion_mnist", "cifar10_resnet56", "replication/digits"])
def test_numbers_are_those_of_the_approved_tables(suite):
    """Every table that names a suite's file shows rows of that file, cell for cell."""
    approved = [row for table in tables((README.parent / "results" / suite / "table.md").read_text()) for row in table]
    section = re.split(r"\n(?=#+ |`\w+` \()", README.read_text())
    shown = [row for part in section if f"results/{suite}/table.md" in part for table in tables(part) for row in table]
    assert len(shown) >= 4
    for row in shown:
        assert any(row.items() <= other.items() for other in approved), row
