"""From a photo or video to a verdict: faces, tracks, scores, p-values."""
