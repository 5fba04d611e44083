"""One file an attack, which only declares: its norms, its loss, what it knows and may spend, and one step.

To add an attack that steps along gradients: a `SteppedAttack` in a file of its own, whose `stepper` returns the steps
(pgd.py is the model, mifgsm.py the shortest; a step with momentum says `memory = True`). One that only asks says
`gradient = False` (square.py). To add one of torchattacks', wrap the object in `TorchAttack`, or write a
`LibraryAttack` whose `make` returns it. To add one that only draws: a `DrawnAttack` (noise.py). A line in
catalogue.py gives it a name on the command line, one in tiers.py a place in the ready-made sets. Nothing here imports
the engine, which runs them.
"""
