"""Which weights should a consensus give its voters? Found on training samples that were held out, never on the test's.

bench.py holds the samples out, trial.py says what weights are worth, search.py asks Optuna for weights, again and
again, within a budget, and writes the best ones down.
"""
