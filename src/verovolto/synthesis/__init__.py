"""Synthetic fakes: face swaps for demonstrations, pseudo-fakes to train with."""
