"""Experiment: what happens when some of the faces that a network learns as real are fakes."""
