"""Layers taken out of causal models: the logits are those with them passed over, and the library generates on."""

import math
import warnings

import pytest
import torch

from robustprune.errors import InputError
from robustprune.models.texts.causal import NextToken, layers_of, shortened, surprise

transformers = pytest.importorskip("transformers", reason="pip install 'robustprune[hf]'")
VOCABULARY, LENGTH = 50, 12
SMALL = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": None, "pad_token_id": 1}


def gpt2():
    config = transformers.GPT2Config(n_layer=4, n_embd=16, n_head=2, n_positions=32, **SMALL)
    return transformers.GPT2LMHeadModel(config)


def llama(kind="Llama", **more):
    config = getattr(transformers, f"{kind}Config")(
        num_hidden_layers=4,
        hidden_size=16,
        intermediate_size=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        **SMALL,
        **more,
    )
    return getattr(transformers, f"{kind}ForCausalLM")(config)


MAKERS = {
    "GPT-2": gpt2,
    "Llama": llama,
    "Mistral": lambda: llama("Mistral"),
    "Qwen2": lambda: llama("Qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=2),
}


@pytest.fixture(params=MAKERS)
def model(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return MAKERS[request.param]().eval()


IDS = torch.randint(2, VOCABULARY, (3, LENGTH), generator=torch.Generator().manual_seed(1))


def passing_over(model, names):
    """Let layers hand on what they get: an independent way to leave them out."""

    def hand_on(layer, inputs, keywords, output):
        given = inputs[0] if inputs else keywords["hidden_states"]
        return (given, *output[1:]) if isinstance(output, tuple) else given

    return [model.get_submodule(name).register_forward_hook(hand_on, with_kwargs=True) for name in names]


@torch.no_grad()
def test_the_logits_are_those_with_the_layers_passed_over(model):
    name, layers = layers_of(model)
    gone = [f"{name}.1", f"{name}.2"]
    short = shortened(model, gone)
    assert len(layers) == 4
    assert len(layers_of(short)[1]) == short.config.num_hidden_layers == 2
    before = model(input_ids=IDS).logits
    hooks = passing_over(model, gone)
    assert torch.allclose(short(input_ids=IDS).logits, model(input_ids=IDS, use_cache=False).logits, atol=1e-5)
    for hook in hooks:
        hook.remove()
    assert model(input_ids=IDS).logits.equal(before)


@torch.no_grad()
def test_it_generates_with_its_cache_what_it_generates_without(model):
    short = shortened(model, [f"{layers_of(model)[0]}.0"])
    ways = [short.generate(IDS, max_new_tokens=6, do_sample=False, use_cache=cached) for cached in (True, False)]
    assert ways[0].equal(ways[1])
    by_hand = IDS
    for _ in range(6):
        by_hand = torch.cat([by_hand, NextToken(short)(by_hand).argmax(1, keepdim=True)], 1)
    assert by_hand.equal(ways[0])


@torch.no_grad()
def test_what_is_saved_is_loaded_again_by_the_library(model, tmp_path):
    short = shortened(model, [f"{layers_of(model)[0]}.3", f"{layers_of(model)[0]}.0"])
    short.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, use_safetensors=True).eval()
    assert again.config.num_hidden_layers == 2
    assert again(input_ids=IDS).logits.equal(short(input_ids=IDS).logits)
    kinds = getattr(model.config, "layer_types", None)
    if kinds is not None:
        assert again.config.layer_types == [kinds[1], kinds[2]]


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        (["h.9"], "h.9: no layer of"),
        (["{}.0", "{}.0"], "a name comes twice"),
        (["{}.0", "{}.1", "{}.2", "{}.3"], "all 4 layers of"),
    ],
)
def test_names_that_cannot_go_are_refused(model, gone, reason):
    with pytest.raises(InputError, match=reason):
        shortened(model, [one.format(layers_of(model)[0]) for one in gone])


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(InputError, match="does not say how many layers it has"):
        layers_of(torch.nn.Linear(2, 2))


def test_surprise_is_that_of_the_library(model):
    """transformers gives the mean over tokens of one batch as its loss."""
    found, tokens = surprise(model, IDS, batch_size=2)
    with torch.no_grad():
        whole = float(model(input_ids=IDS, labels=IDS).loss)
    assert tokens == LENGTH - 1
    assert sum(found) / (3 * tokens) == pytest.approx(whole, rel=1e-5)
    assert math.exp(whole) == pytest.approx(VOCABULARY, rel=0.2)  # random weights guess
