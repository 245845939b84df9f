"""PaDiM: a Gaussian at every place of the face."""
