"""Detectors: one method a folder, one registry, one contract."""
