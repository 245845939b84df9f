"""The demonstration: the whole job, from photographs to verdicts, on a small set of real ones."""
