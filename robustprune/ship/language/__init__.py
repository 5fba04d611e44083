"""Causal language models without some of their layers: opened, scored, shortened and compared by perplexity."""
