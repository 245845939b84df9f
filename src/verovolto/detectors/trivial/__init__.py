"""Trivial statistics, the floor that any detector has to clear."""
