"""Causal language models of `transformers`: as a network of ids, and without some of their layers.

Taking a layer out of such a model is more than taking it out of a list: the cache of keys and values is addressed by
the number that a layer believes to have, and the configuration says how many there are. Both are written anew, so that
`generate()` works with the cache, and what `save_pretrained` writes is loaded again by `from_pretrained` as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError

DEPTH = "num_hidden_layers"
"""What every configuration calls the number of layers, whatever else it calls it."""

NUMBER = "layer_idx"
"""The attribute in which a layer, or a part of it, holds its number."""


class NextToken(nn.Module):
    """A causal model as a classifier: ids (n, T) to the logits (n, vocabulary) of the token that follows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits behind the last token; no cache is used."""
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits[:, -1]


def layers_of(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name of the list of layers, and the list. InputError where not one list has the configured length.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.h, self.config = nn.ModuleList([nn.Identity()] * 3), {"num_hidden_layers": 3}
    >>> layers_of(Net())[0]
    'h'
    """
    depth = _configured(model)
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    found = [name for name in outer if len(lists[name]) == depth]
    if len(found) != 1:
        raise InputError(
            f"{type(model).__name__}: {len(found)} lists of {depth} layers, as many as its configuration says "
            f"({DEPTH}); expected one"
        )
    return found[0], lists[found[0]]


def shortened(model: nn.Module, removed: Sequence[str]) -> Any:
    """Return a deep copy of a causal model without these layers; the names are those of its modules.

    The layers that stay are numbered anew from 0, and the configuration tells the new depth; lists in the
    configuration that have an entry for each layer lose those of the layers that went. Raises InputError for names that
    are no layers, that come twice, or that are all.
    """
    name, layers = layers_of(model)
    known = [f"{name}.{number}" for number in range(len(layers))]
    wrong = [one for one in removed if one not in known]
    if wrong:
        raise InputError(f"{wrong[0]}: no layer of {type(model).__name__}; expected {known[0]} to {known[-1]}")
    if len({*removed}) < len(removed):
        raise InputError(f"layers {', '.join(removed)}: a name comes twice; expected each once")
    if len(removed) == len(known):
        raise InputError(f"all {len(known)} layers of {type(model).__name__} would go; expected one or more to stay")
    stay = [number for number, one in enumerate(known) if one not in removed]
    copied = copy.deepcopy(model)
    _, old = layers_of(copied)
    new = nn.ModuleList([_renumbered(old[number], place) for place, number in enumerate(stay)])
    outer, _, last = name.rpartition(".")
    setattr(copied.get_submodule(outer), last, new)
    _configure(copied, stay, len(known))
    return copied


def _renumbered(layer: nn.Module, number: int) -> nn.Module:
    for part in layer.modules():
        if isinstance(getattr(part, NUMBER, None), int):
            setattr(part, NUMBER, number)
    return layer


def _configured(model: nn.Module) -> int:
    config: Any = getattr(model, "config", None)
    depth = config.get(DEPTH) if isinstance(config, dict) else getattr(config, DEPTH, None)
    if not isinstance(depth, int):
        raise InputError(f"{type(model).__name__}: its configuration does not say how many layers it has ({DEPTH})")
    return depth


def _configure(model: nn.Module, stay: Sequence[int], depth: int) -> None:
    """Write the new depth into the configuration of the whole and of its parts, which may share it."""
    configs = {id(one): one for module in model.modules() if (one := getattr(module, "config", None)) is not None}
    for config in configs.values():
        if getattr(config, DEPTH, None) != depth:
            continue
        for key, value in vars(config).items():
            if isinstance(value, list) and len(value) == depth:
                setattr(config, key, [value[number] for number in stay])
        setattr(config, DEPTH, len(stay))


@torch.no_grad()
def surprise(model: nn.Module, windows: Tensor, batch_size: int = 16) -> tuple[list[float], int]:
    """Return how surprised a causal model is by windows of ids (n, T), in nats for each, and the tokens that count.

    Of a window every token but the first is predicted, T - 1 in all.
    """
    found: list[float] = []
    for part in windows.split(batch_size):
        logits = model(input_ids=part, use_cache=False).logits[:, :-1].float()
        rows = nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none")
        found += rows.view(len(part), -1).double().sum(1).tolist()
    return found, windows.shape[1] - 1
