"""Experiment: every model against every kind of forgery, of the set and made here."""
