"""A network forgets what it has learned, and is trained from initial values of PyTorch's own.

By this control Liu et al. asked what the weights that pruning keeps are worth (2019, arXiv 1810.05270): the same shape,
trained from scratch.
"""

from __future__ import annotations

from torch import nn

from robustprune.errors import InputError

RESETS = ("reset_parameters", "_reset_parameters")
"""What PyTorch's layers call the method that draws initial values; statistics of BatchNorm are reset by it too."""


def forget(model: nn.Module) -> None:
    """Draw the parameters of all layers anew, from the global generator, in place; frozen layers stay.

    Raises InputError where a parameter belongs to no layer that can draw it, such as a class token.

    >>> layer = nn.BatchNorm1d(2)
    >>> _ = layer.running_mean.fill_(7.0)
    >>> forget(layer)
    >>> layer.running_mean.tolist()
    [0.0, 0.0]
    """
    left = list[str]()
    for name, module in model.named_modules():
        own = dict(module.named_parameters(name, recurse=False))
        if own and not any(parameter.requires_grad for parameter in own.values()):
            continue
        reset = next((getattr(module, one) for one in RESETS if hasattr(module, one)), None)
        if reset is not None:
            reset()
        else:
            left += own
    if left:
        raise InputError(
            f"anew: {type(model).__name__} holds {left[0]!r} ({len(left)} in all) outside of layers that draw initial "
            "values; expected PyTorch's own layers, or a layer with `reset_parameters`"
        )
