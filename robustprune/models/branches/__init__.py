"""Single residual branches: what each addition on the skip path of a block adds, such as attention or feed-forward.

The code of most Transformers writes these additions into the forward of the whole layer, `x = x + attn(norm(x))`, so
that no module holds a branch with its addition. There the branch is the module whose output is added, perhaps scaled,
moved or through an activation: it is replaced by zeros, and so is everything whose work nobody uses any more
(live.py). What remains computes the same as with the branch set to zero, without the branch's work.
"""

from robustprune.models.branches.live import ADDITIONS
from robustprune.models.branches.search import residual_units

__all__ = ["ADDITIONS", "residual_units"]
