"""Digits: does consensus choose better blocks than one criterion? Eight small ResNet-20, from one to all 6 blocks gone.

The parents are those of digits.py. An hour on two cores; `results/consensus/README.md` has what came of it.
"""

from contestants import cases, parents
from digits import EPS, build, train, train_robust

from robustprune.attacks import tier
from robustprune.data import digits
from robustprune.policy import Policy
from robustprune.suite import Suite

SUITE = Suite(
    name="consensus_digits",
    data=digits,
    cases=cases([*parents(build, "digits", train, runs=4), *parents(build, "digits", train_robust, runs=4)], epochs=2),
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=300,
    attack_batch=300,
    minutes=60,
    timing_seconds=0.05,
    timing_threads=1,
)
