"""How collections of deepfakes lie on disk, one file a collection; only names and lists are read, never media."""
