"""Attacks on texts: on the embedded tokens (embedded.py), and by exchanging words (substitution.py)."""
