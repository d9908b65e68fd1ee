"""``python -m vultus``: the command line."""

from vultus.cli import main

main()
