"""Networks: the five models of the thesis and their variants, one family a file, listed in `registry`."""
