"""A causal model from a folder, shortened: known answers, tables, files, and bad input in one line."""

import json
import math
import shutil

import pytest
import torch
from click.testing import CliRunner

from robustprune.cli import main
from robustprune.criteria import AblationLoss, DepthFirst
from robustprune.errors import InputError
from robustprune.models.texts.causal import shortened, surprise
from robustprune.names import find
from robustprune.ship.language.comparing import compared, layers, whole
from robustprune.ship.language.opened import open_causal
from robustprune.ship.language.windows import windows

transformers = pytest.importorskip("transformers", reason="pip install 'robustprune[hf]'")
tokenizers = pytest.importorskip("tokenizers", reason="pip install 'robustprune[hf]'")

WORDS = [f"w{number}" for number in range(20)]
IDLE = 2
"""A layer that adds nothing to what it gets."""


@pytest.fixture(scope="module")
def model():
    """A random GPT-2 of 4 layers, one of which adds nothing."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=4, n_embd=16, n_head=2, n_positions=16, vocab_size=20, bos_token_id=0, eos_token_id=0
    )
    net = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4)
        for part in (net.transformer.h[IDLE].attn.c_proj, net.transformer.h[IDLE].mlp.c_proj):
            part.weight.zero_()
            part.bias.zero_()
    return net


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The model as a user has it, and a text."""
    place = tmp_path_factory.mktemp("causal") / "net"
    model.save_pretrained(place)
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(dict(zip(WORDS, range(20), strict=True)), unk_token="w0"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="w0").save_pretrained(place)
    draws = torch.randint(0, 20, (800,), generator=torch.Generator().manual_seed(0)).tolist()
    (place.parent / "text.txt").write_text(" ".join(WORDS[one] for one in draws))
    return place


@pytest.fixture
def cut():
    draws = torch.randint(0, 20, (800,), generator=torch.Generator().manual_seed(0)).tolist()
    return windows(draws, 10, 20, 40)


def shorten(folder, *words):
    text = str(folder.parent / "text.txt")
    return CliRunner().invoke(
        main, ["shorten", str(folder), "--text", text, "--length", "10", "--scoring", "20", "--samples", "40", *words]
    )


def test_an_idle_layer_is_found_and_costs_nothing(model, cut):
    assert [one.name for one in layers(model, cut.scoring)] == [f"model.transformer.h.{k}" for k in range(4)]
    for name in ("block-influence", "angular-distance", "js-divergence", "cka"):
        (found,) = compared(model, cut, 1, [find("criteria", name)])
        assert found.removed == (f"transformer.h.{IDLE}",)
        assert found.ratio.value == pytest.approx(1, abs=1e-6)


def test_the_ratio_is_that_of_the_perplexities_without_these_layers(model, cut):
    (found,) = compared(model, cut, 2, [DepthFirst()])
    assert found.removed == ("transformer.h.0", "transformer.h.1")
    with torch.no_grad():
        x = cut.evaluation
        hidden = model.transformer.drop(model.transformer.wte(x) + model.transformer.wpe(torch.arange(x.shape[1])))
        for layer in model.transformer.h[2:]:
            given = layer(hidden)
            hidden = given[0] if isinstance(given, tuple) else given
        logits = model.lm_head(model.transformer.ln_f(hidden))[:, :-1]
        loss = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten()))
        before = float(model(input_ids=cut.evaluation, labels=cut.evaluation).loss)
    assert found.perplexity.value == pytest.approx(math.exp(loss), rel=1e-4)
    assert found.ratio.value == pytest.approx(math.exp(loss - before), rel=1e-4)
    assert whole(model, cut).value == pytest.approx(math.exp(before), rel=1e-4)


def test_scoring_and_comparing_share_no_window():
    cut = windows(range(105), 10, 4, 5)
    assert cut.scoring.flatten().tolist() == [*range(40)]
    assert cut.evaluation.flatten().tolist() == [*range(50, 100)]
    with pytest.raises(InputError, match="a text of 105 tokens is 10 windows of 10: expected 6 for scoring and 5"):
        windows(range(105), 10, 6, 5)


def test_p_values_are_adjusted_over_the_criteria(model, cut):
    found = [*compared(model, cut, 1, [DepthFirst(), AblationLoss()])]
    least = min(found, key=lambda one: one.ratio.p)
    assert least.p_holm == pytest.approx(min(1, 2 * least.ratio.p))


def test_the_verb_compares_criteria_with_the_whole_model(folder):
    found = shorten(folder, "--remove", "1")
    assert found.exit_code == 0, found.output
    rows = [line for line in found.stdout.splitlines() if "[" in line and "x " in line]
    assert len(rows) == 7
    idle = next(row for row in rows if row.startswith("block-influence"))
    assert idle.split()[1] == str(IDLE)
    assert "x 1.000 [1.000, 1.000]" in idle
    ratios = [float(row.partition("x ")[2].split()[0]) for row in rows]
    assert ratios == sorted(ratios)
    assert "none: the whole model" in found.stdout
    assert "40 windows of 9 predicted tokens" in found.stdout


def test_the_shorter_model_is_written_as_the_library_opens_it(folder, model, cut):
    output = folder.parent / "short"
    found = shorten(folder, "--remove", "1", "--criterion", "block-influence", "--output", str(output))
    assert found.exit_code == 0, found.output
    assert "3 of 4 layers" in found.stdout
    again = transformers.AutoModelForCausalLM.from_pretrained(output).eval()
    assert json.loads((output / "config.json").read_text())["n_layer"] == 3
    assert surprise(again, cut.evaluation)[0] == pytest.approx(surprise(model, cut.evaluation)[0], rel=1e-5)
    assert transformers.AutoTokenizer.from_pretrained(output)("w3 w7")["input_ids"] == [3, 7]
    twice = shorten(folder, "--remove", "1", "--criterion", "block-influence", "--output", str(output))
    assert twice.exit_code == 2
    assert "a folder that is not there yet" in twice.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--remove", "4"], "--remove 4: the model has 4 layers (transformer.h), expected fewer"),
        (["--remove", "1", "--criterion", "block-influnce"], "did you mean 'block-influence'?"),
        (["--remove", "1", "--samples", "400"], "is 80 windows of 10: expected 20 for scoring and 400 for comparing"),
        (["--remove", "1", "--output", "x"], "expected one --criterion"),
    ],
)
def test_bad_input_is_one_line(folder, words, reason):
    found = shorten(folder, *words)
    assert found.exit_code == 2
    assert reason in found.stderr
    assert found.stderr.count("\n") == 1


def changed(folder, place, **config):
    """A copy of the folder with its text beside it, with other entries in its configuration."""
    shutil.copytree(folder, place)
    told = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**told, **config}))
    shutil.copy(folder.parent / "text.txt", place.parent)
    return place


@pytest.mark.parametrize(("depth", "reason"), [(5, "would be random"), (3, "would be left out")])
def test_a_file_that_holds_other_layers_than_its_configuration_says_is_refused(folder, tmp_path, depth, reason):
    found = shorten(changed(folder, tmp_path / "net", n_layer=depth), "--remove", "1")
    assert found.exit_code == 2
    assert reason in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"n_positions": 9}, "windows of 10 tokens: the model has 9 positions, expected no more"),
        ({"vocab_size": 12}, "token 19 of the text: the model knows 12, expected the tokenizer of this model"),
    ],
)
def test_a_text_beyond_the_model_is_refused_before_anything_is_scored(folder, model, tmp_path, sizes, reason):
    place = changed(folder, tmp_path / "net")
    small = transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**model.config.to_diff_dict(), **sizes}))
    small.save_pretrained(place)
    found = shorten(place, "--remove", "1")
    assert found.exit_code == 2
    assert found.stderr == f"robustprune: {reason}\n"


def test_what_the_library_would_open_as_another_model_is_not_written(folder, tmp_path, cut):
    opened, output = open_causal(folder), tmp_path / "short"
    wrong = shortened(opened.model, ["transformer.h.0"])
    wrong.config.n_layer = 4
    with pytest.raises(InputError, match=r"nothing was written: .*12 weights are not in its file"):
        opened.save(wrong, output, cut.evaluation[:2])
    wrong.config.n_layer, wrong.config.layer_norm_epsilon = 3, 1.0
    with pytest.raises(InputError, match=r"nothing was written: .* was expected"):
        opened.save(wrong, output, cut.evaluation[:2])
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_a_folder_that_is_not_whole_is_refused_in_one_line(folder, tmp_path, name, damage):
    copied = tmp_path / "net"
    copied.mkdir()
    for file in folder.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    if damage == "gone":
        (copied / name).unlink()
    else:
        (copied / name).write_bytes((copied / name).read_bytes()[:40])
    (tmp_path / "text.txt").write_text("w1 " * 800)
    found = shorten(copied, "--remove", "1")
    assert found.exit_code == 2
    assert found.stderr.count("\n") == 1
    assert str(copied) in found.stderr
