"""Networks that read text: what such a network has to say of itself, BERT's shape, and MiniLM from its package.

To add one: a subclass of `TextNetwork` (network.py), which says what follows its embedding.
"""
