"""Experiment: the models against each other, and against the trivial statistics."""
