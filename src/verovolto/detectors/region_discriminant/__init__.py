"""A linear discriminant on frozen features of the regions of a face."""
