from importlib.metadata import distribution

import pytest
import torch
from bags import WORDS, texts
from torch import nn

from robustprune.data import WordPiece
from robustprune.errors import InputError, MissingData
from robustprune.models import Encoder, find_blocks, kinds_of, minilm, minilm_vocabulary
from robustprune.models.texts.encoder import BEGINNINGS, from_bert
from robustprune.models.texts.minilm import PACKAGE
from robustprune.prune import remove


def small(depth=3, seed=0):
    torch.manual_seed(seed)
    return Encoder(kinds_of(WORDS.vocabulary), width=16, heads=4, inner=24, depth=depth, length=8).eval()


def reference(net):
    """Torch's own layers with the same weights: attention and feed-forward, each added, then normalised."""
    layers = []
    for layer in net.layers:
        twin = nn.TransformerEncoderLayer(
            16, 4, 24, dropout=0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        parts = (layer.query, layer.key, layer.value)
        twin.self_attn.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
        twin.self_attn.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
        pairs = (
            (twin.self_attn.out_proj, layer.out),
            (twin.linear1, layer.up),
            (twin.linear2, layer.down),
            (twin.norm1, layer.norm1),
            (twin.norm2, layer.norm2),
        )
        for theirs, ours in pairs:
            theirs.load_state_dict(ours.state_dict())
        layers.append(twin.eval())
    return layers


def randomised(net):
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.4
    return net


def test_the_same_function_as_torchs_own_layers():
    net, ids = randomised(small()), texts(6)
    ids[0, 3:] = 0
    real = ids != 0
    with torch.no_grad():
        x = net.norm(net.embedding(ids) + net.positions.weight[: ids.shape[1]])
        for layer in reference(net):
            x = layer(x, src_key_padding_mask=~real)
        wanted = torch.stack([net.head(row[mask].mean(0)) for row, mask in zip(x, real, strict=True)])
        assert torch.allclose(net(ids), wanted, atol=1e-4)


def test_padding_plays_no_part():
    net, ids = randomised(small()), texts(4)
    assert torch.allclose(net(ids), net(ids[:, :6]), atol=1e-4)


def test_its_layers_are_blocks_and_what_is_left_without_one_is_the_network_that_never_had_it():
    net, ids = randomised(small()), texts(4)
    assert [block.name for block in find_blocks(net, ids)] == ["layers.0", "layers.1", "layers.2"]
    shorter = remove(net, ["layers.1"], ids)
    twin = small(depth=2)
    state = {name.replace("layers.2", "layers.1"): weight for name, weight in shorter.state_dict().items()}
    twin.load_state_dict(state)
    assert torch.allclose(shorter(ids), twin(ids), atol=1e-5)


def test_word_vectors_are_frozen():
    assert [name for name, one in small().named_parameters() if not one.requires_grad] == ["embedding.weight"]


def test_weights_of_transformers_bert_are_read_by_their_names():
    net = randomised(small())
    state = {name: weight for name, weight in net.state_dict().items() if name != "kinds"}
    theirs = {name: part for part, name in BEGINNINGS.items()}
    given = {
        "embeddings.word_embeddings.weight": state["embedding.weight"],
        "embeddings.position_embeddings.weight": state["positions.weight"] - 1,
        "embeddings.token_type_embeddings.weight": torch.ones(2, 16),
        "embeddings.LayerNorm.weight": state["norm.weight"],
        "embeddings.LayerNorm.bias": state["norm.bias"],
        "pooler.dense.weight": torch.zeros(16, 16),
    }
    for name, weight in state.items():
        if name.startswith("layers."):
            _, number, part, kind = name.split(".")
            given[f"encoder.layer.{number}.{theirs[part]}.{kind}"] = weight
    found = from_bert(given)
    assert set(found) == set(state) - {"head.weight", "head.bias"}
    assert all(torch.allclose(found[name], state[name], atol=1e-6) for name in found)


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(InputError, match="text of 12 tokens: expected at most 8"):
        small()(texts(2, length=12))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_minilm_is_what_transformers_makes_of_the_same_files():
    transformers = pytest.importorskip("transformers")
    try:
        net = minilm().eval()
    except MissingData as missing:
        pytest.skip(str(missing))
    folder = next(file.locate() for file in distribution(PACKAGE).files if file.name == "vocab.txt").parent
    theirs = transformers.BertModel.from_pretrained(str(folder), local_files_only=True).eval()
    ids = WordPiece(minilm_vocabulary()).encoded(["a good film", "what a dull and endless film this is!"], length=12)
    real = (ids != 0)[..., None]
    with torch.no_grad():
        found = theirs(input_ids=ids, attention_mask=real[..., 0].long()).last_hidden_state
        wanted = net.head((found * real).sum(1) / real.sum(1))
        assert torch.allclose(net(ids), wanted, atol=1e-5)
