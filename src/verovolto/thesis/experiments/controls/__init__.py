"""Experiment: small networks, each beside a partner that differs from it in one thing."""
