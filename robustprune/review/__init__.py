"""The security review: a verdict with evidence, before a compressed model ships.

given.py opens the two models, request.py makes a suite of two cases of them, gate.py has it measured and judges it,
extras.py and exhibits.py add what a suite does not show, record.py writes the verdict down, bundle.py and verify.py
keep the evidence, summary.py and pages.py say it to people. case.py reviews a case of a suite that was measured before.
"""
