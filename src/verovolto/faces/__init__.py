"""Faces in pictures: found, cropped by a rule, filtered and tracked."""
