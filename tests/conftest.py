"""Tests run side by side (`pytest -n auto --dist loadfile`), so each process keeps to one thread."""

import torch

pytest_plugins = ["pytester"]

torch.set_num_threads(1)
