"""The commands, a file each: a signature of flags, a docstring of help, a call, a print."""
