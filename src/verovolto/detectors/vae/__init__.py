"""Variational auto-encoders as detectors."""
