"""Measuring: a case from network to result, a suite from cases to results, and the store that remembers.

A measurement is a frozen dataclass whose fields are its key (measurement.py). To add one: a file here with its class,
and where a case needs it a line in case.py.
"""
