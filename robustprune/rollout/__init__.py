"""How far can pruning go? Stage by stage, until one does not pass; the last that passed is handed over."""
