"""How a suite is written (cases.py, plain frozen data), what is refused (refused.py), how it is loaded (files.py)."""

from robustprune.suite.cases import ARTEFACT, CONTROL, PARENT, Case, Model, Strategy, Suite, grid
from robustprune.suite.files import load_suite

__all__ = ["ARTEFACT", "CONTROL", "PARENT", "Case", "Model", "Strategy", "Suite", "grid", "load_suite"]
