"""The command line: verbs, options, exit codes, and the pytest plugin. Nothing that takes time is imported here.

suites.py holds the verbs on suites, reviews.py those on networks and files, verbs.py what all share. To add a verb:
a function there with `@main.command(...)`, and for what it does a function in the room that it belongs to.
"""

from robustprune.cli.suites import main

__all__ = ["main"]
