"""The command line: verbs, options, exit codes, and the pytest plugin. Nothing that takes time is imported here.

suites.py holds the verbs on suites, reviews.py those on networks and files, verbs.py what all share, ending.py
how they end and program.py in which process they run. To add a verb:
a function there with `@main.command(...)`, and for what it does a function in the room that it belongs to.
"""

from robustprune.cli.program import main

__all__ = ["main"]
