"""How a suite is written, as plain frozen data.

cases.py and strategies.py say what it is made of, refused.py what it cannot be, files.py how it is loaded.
"""

from robustprune.suite.cases import ARTEFACT, CONTROL, PARENT, Case, Model, Suite, grid
from robustprune.suite.files import load_suite
from robustprune.suite.strategies import Strategy

__all__ = ["ARTEFACT", "CONTROL", "PARENT", "Case", "Model", "Strategy", "Suite", "grid", "load_suite"]
