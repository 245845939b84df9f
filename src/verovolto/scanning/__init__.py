"""From photos and videos to verdicts: faces, tracks, scores, p-values."""
