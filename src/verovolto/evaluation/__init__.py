"""Evaluation of detectors: metrics with intervals, paired comparisons, robustness against corruptions."""
