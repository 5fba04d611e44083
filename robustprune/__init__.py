"""robustprune: is this layer-pruned network still safe to ship?"""

__version__ = "0.1.0"
