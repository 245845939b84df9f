"""A network that finds where a face was blended."""
