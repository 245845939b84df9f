"""Models of normal data on frozen features: the known one-class detectors that others have to beat.

Each is fitted to real faces alone, in closed form; nothing of the trunk is trained. One family a file.
"""
