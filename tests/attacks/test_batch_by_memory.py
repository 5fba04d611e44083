"""How many samples are attacked together where nobody says: as ever on processors, as memory allows on a GPU."""

import torch
import torchattacks
from torch import nn

from robustprune.attacks import PGD, TorchAttack
from robustprune.attacks.engine.evaluate import target_for
from robustprune.attacks.engine.memory import LARGEST, batch_for, with_fixed_batch
from robustprune.attacks.engine.settings import BATCH, Settings


def test_on_a_processor_batches_are_as_ever():
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    with target_for(net, torch.rand(300, 1, 6, 6), Settings()) as target:
        assert target.batch_size == BATCH == 128


def test_a_batch_fills_half_of_the_memory_and_is_never_smaller_than_elsewhere():
    for each in (1.0, 3e5, 1e6, 7e7, 1e9):
        for free in (1e8, 8e10):
            size = batch_for(each, free, 10**6)
            assert size.bit_count() == 1
            assert BATCH <= size <= LARGEST
            assert size == BATCH or size * each <= free / 2
            assert size == LARGEST or 2 * size * each > free / 2
    assert batch_for(0.0, 1e9, 5000) == LARGEST
    assert [batch_for(1.0, 1e9, n) for n in (1, 129, 256, 1000)] == [128, 128, 256, 512]


def test_the_batch_is_fixed_for_attacks_that_draw_for_all_of_it():
    library = TorchAttack(name="mine", build=lambda net: torchattacks.FGSM(net, eps=0.1), eps=0.1, norm="Linf")
    assert with_fixed_batch(Settings(), [PGD(eps=0.1), library]).batch_size == BATCH
    assert with_fixed_batch(Settings(batch_size=7), [library]).batch_size == 7
    assert with_fixed_batch(Settings(), [PGD(eps=0.1)]).batch_size is None
