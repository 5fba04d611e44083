"""A contest over several suites: does a consensus prune better than each single criterion?

field.py says who takes part, comparisons.py compares them two by two, tables.py and surprises.py say what came of it,
and page.py puts it together.
"""
