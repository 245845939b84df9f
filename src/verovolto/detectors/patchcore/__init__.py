"""PatchCore: a memory of patches of real faces."""
