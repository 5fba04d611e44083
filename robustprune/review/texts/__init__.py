"""A review of texts: what has to be alike in two networks (alike.py), and which texts broke (broken.py)."""
