"""How a suite is written (cases.py, plain frozen data) and loaded from a file (files.py)."""

from robustprune.suite.cases import ARTEFACT, CONTROL, PARENT, Case, Model, Strategy, Suite, grid
from robustprune.suite.files import load_suite

__all__ = ["ARTEFACT", "CONTROL", "PARENT", "Case", "Model", "Strategy", "Suite", "grid", "load_suite"]
