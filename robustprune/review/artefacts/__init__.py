"""A file that ships, reviewed itself: opened.py opens it beside its twin, belongs.py says whether it is the twin's.

queries.py chooses what attacks it, raced.py times it beside PyTorch, beside.py keeps and says what that gave.
"""
