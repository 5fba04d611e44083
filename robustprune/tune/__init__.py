"""Which weights should a consensus give its voters? Found on training samples that were held out, never on the test's.

trial.py holds the samples out and says what weights are worth, search.py asks Optuna for weights, again and again,
within a budget, and writes the best ones down; criteria/fitted.py reads them for a suite.
"""
