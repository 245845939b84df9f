"""How typical of a real face a VAE's errors are."""
