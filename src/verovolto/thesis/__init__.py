"""The steps of `verovolto reproduce`, in the order in which they are taken."""
