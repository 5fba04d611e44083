"""The one loop that takes samples batch by batch and halves the batch where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.target import Target


def in_batches(
    target: Target, n: int, found: Found, work: Callable[[Tensor], None], passing: tuple[type[Exception], ...] = ()
) -> None:
    """Call `work(row)` for the samples 0..n-1, `target.batch_size` of them at a time.

    A batch that runs out of memory is made again, half as large, from its first sample; one that fails otherwise is
    written down in `found` as not attacked. `target.batch_size` stays as small as it had to become. Exceptions of
    the kinds `passing` go through, and so does an interrupt.
    """
    start = 0
    while start < n:
        row = torch.arange(start, min(start + target.batch_size, n))
        try:
            work(row)
        except passing:
            raise
        except Exception as error:
            reason = error.with_traceback(None)
            if target.shrink(reason):
                continue
            found.fail(row, reason)
        start += len(row)
