"""What attacks and the engine agree on: threat, attack, step, target, and what is found. Nothing here runs anything.

threat.py holds the norms, attack.py what every attack states, stepped.py, library.py, drawn.py and transformed.py the
kinds of attack, target.py the network as they see it, found.py what comes back; state.py, losses.py and randomness.py
are for those who write steps.

To add a norm: in threat.py a `Threat` with its size, projection, steepest step and two random draws, and a line in
`THREATS`. PGD, noise, transfer, torchattacks' own attacks and curves then take `norm="..."` of that name. How PGD's
steps shrink under it is a line in pgd.py's `SCHEDULES`, how its eps is written one in results/records.py's `FRACTIONS`;
both have a default. A threat that is no ball is an attack of transformed.py: see algorithms/corruptions.py.
"""
