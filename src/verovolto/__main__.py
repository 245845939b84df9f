"""`python -m verovolto`."""

from verovolto.cli import main

main()
