"""Mahalanobis distance of pooled features."""
