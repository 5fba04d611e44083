"""Sequence classifiers by name: the library's own logits, whole and without layers, and what is refused in one line."""

import copy
import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from robustprune.cli import main
from robustprune.errors import InputError, MissingData
from robustprune.models import find_blocks, load_weights, named, save_weights
from robustprune.models.texts.network import PADDING, PIECE, SPECIAL, WORD, FromEmbedding
from robustprune.prune import remove

transformers = pytest.importorskip("transformers", reason="pip install 'robustprune[hf]'")

SMALL = {
    "vocab_size": 24,
    "max_position_embeddings": 16,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "id2label": {0: "against", 1: "for", 2: "neither"},
}
DISTILLED = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 16, "pad_token_id": 0}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "##s", "!", *(f"w{'x' * k}" for k in range(18))]
BYTES = ["<s>", "<pad>", "</s>", "<unk>", "s", "!", *(f"Ġw{'x' * k}" for k in range(18))]


def bert():
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))


def distilbert():
    return transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**{**SMALL, **DISTILLED}))


def roberta():
    return transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**{**SMALL, "pad_token_id": 1}))


SHAPES = {
    "bert": (bert, "bert.encoder.layer"),
    "distilbert": (distilbert, "distilbert.transformer.layer"),
    "roberta": (roberta, "roberta.encoder.layer"),
}


@pytest.fixture(scope="module", params=[*SHAPES])
def case(request, tmp_path_factory):
    """A folder as save_pretrained leaves it, the library's network, and the name of its list of layers."""
    make, layers = SHAPES[request.param]
    torch.manual_seed(0)
    net = make().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    place = tmp_path_factory.mktemp("texts") / request.param
    net.save_pretrained(place)
    if request.param == "roberta":
        added = [{"content": token, "id": number, "special": True} for number, token in enumerate(BYTES[:4])]
        model = {"type": "BPE", "vocab": {token: number for number, token in enumerate(BYTES)}, "merges": []}
        (place / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": added}))
    else:
        (place / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return place, net, layers


def texts(net):
    """Texts of two lengths, filled up with padding."""
    ids = torch.randint(6, 24, (4, 9), generator=torch.Generator().manual_seed(1))
    ids[1:3, 5:] = net.config.pad_token_id
    return ids, (ids != net.config.pad_token_id).long()


def test_the_logits_are_the_librarys_own_from_numbers_and_behind_the_embedding(case):
    place, own, _ = case
    net, (ids, mask) = named(f"hf:{place}")().eval(), texts(own)
    expected = own(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(net(ids), expected, rtol=0, atol=1e-5)
    behind = FromEmbedding(net)
    torch.testing.assert_close(behind(behind.embedded(ids)), expected, rtol=0, atol=1e-5)
    assert net.labels == ("against", "for", "neither")


def test_without_a_layer_they_are_those_of_the_library_without_it_also_from_a_file(case, tmp_path):
    place, own, layers = case
    net, (ids, mask) = named(f"hf:{place}")().eval(), texts(own)
    blocks = [one.name for one in find_blocks(net, ids)]
    assert blocks == [f"net.{layers}.{number}" for number in range(3)]
    cut = copy.deepcopy(own)
    outer, _, last = layers.rpartition(".")
    setattr(cut.get_submodule(outer), last, nn.ModuleList([*own.get_submodule(layers)][::2]))
    expected = cut(input_ids=ids, attention_mask=mask).logits
    short = remove(net, blocks[1:2], ids)
    torch.testing.assert_close(short(ids), expected, rtol=0, atol=1e-5)
    save_weights(short, tmp_path / "short.safetensors")
    bare = named(f"hf:{place}", weights="random")().eval()
    again = load_weights(remove(bare, blocks[1:2], ids), tmp_path / "short.safetensors").eval()
    torch.testing.assert_close(again(ids), expected, rtol=0, atol=1e-5)


def test_a_file_of_the_whole_network_says_how_many_classes_it_has(case, tmp_path):
    place, own, _ = case
    save_weights(own, tmp_path / "w.safetensors")
    assert named(f"hf:{place}", num_labels=5).for_file(tmp_path / "w.safetensors").arguments["num_labels"] == 3
    again = load_weights(named(f"hf:{place}").for_file(tmp_path / "w.safetensors")(), tmp_path / "w.safetensors")
    ids, mask = texts(own)
    torch.testing.assert_close(again.eval()(ids), own(input_ids=ids, attention_mask=mask).logits, rtol=0, atol=1e-5)


def test_kinds_of_tokens_come_from_the_vocabulary(case):
    place, own, _ = case
    kinds = named(f"hf:{place}")().kinds
    assert kinds[own.config.pad_token_id] == PADDING
    assert (kinds == PADDING).sum() == 1
    assert (kinds[2], kinds[4], kinds[6]) == (SPECIAL, PIECE, WORD)


def test_the_command_line_lists_its_layers(case):
    place, *_, layers = case
    found = CliRunner().invoke(main, ["blocks", f"hf:{place}", "--json"])
    assert found.exit_code == 0, found.output
    assert [name for name in (f"net.{layers}.{k}" for k in range(3)) if name in found.output]


def emptied(case, tmp_path, *names):
    place, *_ = case
    copied = tmp_path / "copy"
    shutil.copytree(place, copied)
    for name in names:
        (copied / name).unlink(missing_ok=True)
    return copied


def test_what_is_missing_or_does_not_fit_is_one_line(case, tmp_path):
    copied = emptied(case, tmp_path, "vocab.txt", "tokenizer.json")
    with pytest.raises(MissingData, match=r"holds no vocabulary; expected tokenizer\.json, vocab\.txt or vocab\.json"):
        named(f"hf:{copied}")()
    (copied / "vocab.txt").write_text("\n".join([*PIECES, "more"]))
    with pytest.raises(InputError, match=r"25 tokens in the vocabulary of .* and 24 word vectors"):
        named(f"hf:{copied}")()
    (copied / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as UTF-8"):
        named(f"hf:{copied}")()
    (copied / "model.safetensors").unlink()
    with pytest.raises(MissingData, match=r"holds no \.safetensors"):
        named(f"hf:{copied}")()


@pytest.mark.parametrize("kind", ["GPT2ForSequenceClassification", "GPT2LMHeadModel"])
def test_generative_models_are_refused_in_one_line(tmp_path, kind):
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, n_positions=8, vocab_size=24, pad_token_id=0)
    getattr(transformers, kind)(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES))
    with pytest.raises(InputError, match=r"something else behind its embedding|expected one of \*For") as caught:
        named(f"hf:{tmp_path}")()
    assert "\n" not in str(caught.value)
