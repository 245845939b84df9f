"""Calibration on held-out real faces: thresholds, conformal p-values, input domain."""
