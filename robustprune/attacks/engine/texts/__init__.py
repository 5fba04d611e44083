"""Running attacks on texts: behind the embedding (embedded.py), and by exchanging words (exchanged.py)."""
