"""Training: one frame, and one engine for what learns by gradient."""
