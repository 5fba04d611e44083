"""The security review: a verdict with evidence, before a compressed model ships.

The parts: `specs` opens the two models, `gate` measures and judges them, `record` writes the verdict down,
`bundle` and `verify` keep the evidence, `stages` asks how far pruning can go, `export` writes what ships.
`commands` holds the verbs.
"""
