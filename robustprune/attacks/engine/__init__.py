"""The only place where attacks run: batches, early exit, folded copies, precision, retries, judging, counting.

evaluate.py is the door, session.py the order of things, dispatch.py says who runs which kind of attack: stepwise.py
those cut open into steps, in a window (window.py) that is refilled, library.py torchattacks' objects whole, draws.py
random perturbations, transforms.py lists of transforms. curves.py looks for the largest eps that a sample resists.

To add a kind of attack: say in a file of contract/ what it declares, write here a `run_...(attack, target, x, y, seed)`
that returns `Found` and asks the network through `target` alone, and give it a case in dispatch.py.
"""
