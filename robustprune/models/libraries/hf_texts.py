"""Sequence classifiers of transformers (BERT, DistilBERT, RoBERTa, ...) as networks of texts.

The vocabulary is read from a file of the folder as data: vocab.txt, tokenizer.json or vocab.json. What such a network
computes behind its embedding is compared with what it computes from token numbers when it is opened, so that one which
needs the numbers themselves (a generative model that looks for the last one) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError, MissingData
from robustprune.models.libraries.hf_folders import read_json
from robustprune.models.modes import evaluating
from robustprune.models.texts.network import FREE, MARK, PADDING, PIECE, SPECIAL, WORD, TextNetwork, kinds_of

LINES, WHOLE, TABLE = "vocab.txt", "tokenizer.json", "vocab.json"
BEGINS = ("Ġ", "▁")
"""What the first piece of a word begins with, in vocabularies that mark these and not the later ones."""

CLOSE = 1e-4
"""So near are the logits of both ways, relative to the largest."""


class SequenceClassifier(TextNetwork):
    """A library's classifier: ids (N, T) to logits (N, classes); `kinds` (V,) say which tokens are padding.

    `labels` are the names of its logits, () where they are unknown. Its word vectors stay where the library has them.
    """

    def __init__(self, net: nn.Module, kinds: Tensor, labels: Sequence[str] = ()) -> None:
        nn.Module.__init__(self)  # TextNetwork's would hold the word vectors under a second name
        self.net: Any = net
        self.labels = tuple(labels)
        self.register_buffer("kinds", kinds, persistent=False)

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]
        """The word vectors."""
        found: nn.Embedding = self.net.get_input_embeddings()
        return found

    def read(self, words: Tensor, real: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        logits: Tensor = self.net(inputs_embeds=words, attention_mask=real.long(), **self._places(real)).logits
        return logits

    def _places(self, real: Tensor) -> dict[str, Tensor]:
        """Number the tokens where the library counts only real ones, from behind the number of padding (RoBERTa)."""
        base = getattr(self.net, self.net.base_model_prefix, self.net)
        embeddings: Any = getattr(base, "embeddings", None)
        if not hasattr(embeddings, "create_position_ids_from_input_ids"):
            return {}
        start = int(embeddings.padding_idx)
        return {"position_ids": real.long().cumsum(1) * real.long() + start}


def classifier(net: nn.Module, folder: Path, labels: Sequence[str], spec: str) -> SequenceClassifier:
    """Wrap a network of a folder. InputError where it needs more than its embedding, or the vocabulary does not fit."""
    own: Any = net
    words = own.get_input_embeddings()
    if not isinstance(words, nn.Embedding):
        raise InputError(f"{spec}: {type(net).__name__} has no embedding of words; expected a classifier of texts")
    kinds = kinds_in(folder, words.num_embeddings, own.config, spec)
    found = SequenceClassifier(net, kinds, labels)
    if words.weight.device.type != "meta":
        _check(found, spec)
    return found


def kinds_in(folder: Path, count: int, config: Any, spec: str) -> Tensor:
    """Return (count,) the kinds of the tokens of a folder's vocabulary; numbers without a token count as special."""
    tokens, special = vocabulary(folder, spec)
    if not tokens or max(tokens.values()) >= count:
        raise InputError(
            f"{spec}: {max(tokens.values(), default=-1) + 1} tokens in the vocabulary of {folder} and {count} word "
            "vectors; expected the vocabulary of this network"
        )
    marked = any(token.startswith(BEGINS) for token in tokens)
    kinds = torch.full((count,), SPECIAL, dtype=torch.int64)
    for token, number in tokens.items():
        plain = _kind(token) if marked else int(kinds_of([token])[0])
        kinds[number] = SPECIAL if token in special else plain
    padding = getattr(config, "pad_token_id", None)
    kinds[kinds == PADDING] = SPECIAL
    if isinstance(padding, int) and 0 <= padding < count:
        kinds[padding] = PADDING
    return kinds


def vocabulary(folder: Path, spec: str) -> tuple[dict[str, int], set[str]]:
    """Read the tokens of a folder with their numbers, and which of them are special. MissingData where none are."""
    if (folder / WHOLE).is_file():
        told = read_json(folder / WHOLE)
        added = [one for one in told.get("added_tokens") or () if isinstance(one, Mapping)]
        held = (told.get("model") or {}).get("vocab")
        pairs = held.items() if isinstance(held, Mapping) else ((one[0], place) for place, one in enumerate(held or ()))
        tokens = {**dict(pairs), **{one["content"]: one["id"] for one in added}}
        return _checked(tokens, folder / WHOLE), {one["content"] for one in added if one.get("special")}
    if (folder / LINES).is_file():
        try:
            lines = (folder / LINES).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{folder / LINES}: cannot be read as UTF-8 text ({error})") from None
        return {token: number for number, token in enumerate(lines)}, set()
    if (folder / TABLE).is_file():
        tokens = _checked(read_json(folder / TABLE), folder / TABLE)
        return tokens, {token for token in tokens if token.startswith("<") and token.endswith(">") and len(token) > 2}
    raise MissingData(f"{spec}: {folder} holds no vocabulary; expected {WHOLE}, {LINES} or {TABLE} there")


def _checked(tokens: Mapping[Any, Any], file: Path) -> dict[str, int]:
    wrong = [token for token, number in tokens.items() if type(number) is not int or number < 0]
    if wrong or not tokens:
        raise InputError(f"{file}: holds no tokens with their numbers; expected a vocabulary")
    return {str(token): number for token, number in tokens.items()}


def _kind(token: str) -> int:
    """Return the kind of a token where the first pieces of words are marked."""
    first = token.startswith(BEGINS)
    rest = token[1:] if first else token
    if rest.isascii() and rest.isalpha():
        return (WORD if rest.islower() else MARK) if first else PIECE
    return MARK


@torch.no_grad()
def _check(net: SequenceClassifier, spec: str) -> None:
    """Refuse a network that says something else of embedded tokens than of their numbers, padding among them."""
    usual = (net.kinds >= FREE).nonzero().flatten()[:4]
    padding = (net.kinds == PADDING).nonzero().flatten()[:1]
    if len(usual) < 4 or not len(padding):
        raise InputError(f"{spec}: {len(usual)} usual tokens and {len(padding)} for padding; expected more, and one")
    ids = torch.stack((usual, torch.cat((usual[:2], padding, padding))))
    with evaluating(net):
        there = net.net(input_ids=ids, attention_mask=(net.kinds[ids] != PADDING).long()).logits
        here = net(ids)
    if here.shape != there.shape or not torch.allclose(here, there, atol=CLOSE * float(there.abs().max())):
        raise InputError(
            f"{spec}: {type(net.net).__name__} says something else behind its embedding than of token numbers; "
            "expected a classifier that reads a text as a whole, such as BERT, DistilBERT or RoBERTa"
        )
