"""A causal language model in a suite: a classifier of texts whose class is the token that follows.

Each text is a window without padding. So what prunes, attacks and fine-tunes classifiers works on it as it is, and what
comes out is still a model that `generate()` can use (`as_causal`).

In training every token of a window is predicted from those before it, as language models learn; the recipe's loss is
that of the last one. The others join it by their gradient (`_Joined`, as auxiliary losses of mixtures of experts do),
so a step learns from as many tokens as the window has, each with the same weight. Where a recipe distils, its teacher
is heard on the last token, and the others join that.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustprune.errors import InputError
from robustprune.models.texts.causal import shortened
from robustprune.models.texts.network import TextNetwork

WITHIN = "model."
"""Before the names of the causal model's modules, where it is wrapped."""


class Generative(TextNetwork):
    """A causal model of `transformers` as a network of texts: ids (N, T) to the logits (N, V) of what follows.

    `kinds` (V,) are those of its tokens (network.py). Its word vectors stay where the library has them.
    """

    def __init__(self, model: nn.Module, kinds: Tensor) -> None:
        nn.Module.__init__(self)  # TextNetwork's would hold the word vectors under a second name
        self.model: Any = model
        if len(kinds) != self.embedding.num_embeddings:
            raise InputError(f"{self.embedding.num_embeddings} word vectors and {len(kinds)} kinds of tokens")
        self.register_buffer("kinds", kinds)

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]
        """The word vectors."""
        found: nn.Embedding = self.model.get_input_embeddings()
        return found

    def read(self, words: Tensor, real: Tensor) -> Tensor:
        """Return the logits (N, V) behind the last of the embedded tokens (N, T, D); all of them are `real`."""
        return self.every(words)[:, -1]

    def every(self, words: Tensor) -> Tensor:
        """Return the logits (N, T, V) behind each of the embedded tokens (N, T, D)."""
        logits: Tensor = self.model(inputs_embeds=words, use_cache=False).logits
        return logits

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (N, V); while training, what the other tokens say goes into the gradient."""
        logits = self.every(self.embedding(ids))
        last = logits[:, -1]
        if not (self.training and torch.is_grad_enabled()) or ids.shape[1] < 2:
            return last
        others = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        joined: Tensor = _Joined.apply(last, others, ids.shape[1])
        return joined


class _Joined(torch.autograd.Function):
    """Hands logits on, and joins the mean loss of the T - 1 other tokens to that of the last, which comes later."""

    @staticmethod
    def forward(ctx: Any, last: Tensor, others: Tensor, tokens: int) -> Tensor:
        ctx.tokens, ctx.like = tokens, others
        return last.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        share = torch.full_like(ctx.like, 1 - 1 / ctx.tokens)
        return grad / ctx.tokens, share, None


def small_gpt2(kinds: Tensor, *, width: int, heads: int, depth: int, length: int) -> Generative:
    """Build GPT-2's shape (Radford et al. 2019) with `length` positions, and random weights; needs `transformers`.

    Its head is a matrix of its own. There is no dropout.
    """
    library = transformers()
    config = library.GPT2Config(
        vocab_size=len(kinds),
        n_positions=length,
        n_embd=width,
        n_head=heads,
        n_layer=depth,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    return Generative(library.GPT2LMHeadModel(config), kinds)


def as_causal(net: nn.Module, whole: Generative, removed: Sequence[str]) -> Any:
    """Return a pruned network as a causal model of the library, with fewer layers: `generate()` works with its cache.

    `net` came from `whole` without the blocks `removed`, and may have been fine-tuned since. InputError where what went
    were no whole layers.
    """
    model = copy.deepcopy(whole.model)
    state = {name.removeprefix(WITHIN): value for name, value in net.state_dict().items() if name.startswith(WITHIN)}
    model.load_state_dict(state, strict=False)
    return shortened(model, [name.removeprefix(WITHIN) for name in removed]).eval()


def transformers() -> Any:
    """Return the library. InputError where it is not installed."""
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise InputError("language models need transformers: pip install 'robustprune[hf]'") from error
