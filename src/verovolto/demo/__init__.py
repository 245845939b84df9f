"""The demonstration: the whole job on a small set of real photographs."""
