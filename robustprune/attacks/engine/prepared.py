"""What has to be known of a network before it is attacked, found out once for several evaluations.

Whether it has random parts, which lean copy does what it does, whether it returns logits alone: all that takes a dozen
small passes, which is little beside a chain of attacks and much beside one attack on a few samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from robustprune.attacks.engine.guard import attacking
from robustprune.attacks.engine.lean import SAMPLES, Lean, attack_copy
from robustprune.attacks.engine.random_parts import FRESH, is_random, seed_generators
from robustprune.models.device import device_of
from robustprune.models.lending import Memory
from robustprune.models.made import returning_logits, returns_more


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was found out about `model`; it holds as long as the model stays what it is.

    `fresh`: passes of a verdict. `changed`: tensors of its own that passes change. `more`: it may return more than
    logits.
    """

    model: nn.Module
    fresh: int
    lean: Lean
    changed: tuple[str, ...]
    more: bool = True

    def serves(self, model: nn.Module) -> bool:
        """Whether it spares looking at `model`; not where that is random, and would then make other draws."""
        return model is self.model and self.fresh == 1


def prepared(model: nn.Module, x: Tensor, seed: int = 0) -> Prepared:
    """Find out about `model`, which is left as it was, by real samples `x` (n, C, H, W), for `Settings.prepared`.

    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> found = prepared(net, torch.rand(3, 1, 2, 2))
    >>> found.fresh, found.more, found.lean.copied, found.serves(net), found.serves(nn.Flatten())
    (1, False, True, True, False)
    """
    few, before = x[:SAMPLES].to(device_of(model, x.device)), Memory.of(model)
    with attacking(model), returning_logits(model, few):
        seed_generators(seed, few.device)
        found = looked_at(model, few, before)
    return replace(found, more=returns_more(model, few))


def looked_at(model: nn.Module, few: Tensor, before: Memory, fresh: int | None = None) -> Prepared:
    """Find out about `model`, which is being attacked, by `few` samples; `fresh` None: see whether it is random."""
    fresh = fresh or (FRESH if is_random(model, few) else 1)
    lean = attack_copy(model, few, random=fresh > 1)
    return Prepared(model=model, fresh=fresh, lean=lean, changed=tuple(before.changed))
