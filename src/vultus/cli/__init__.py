"""Command line of Vultus."""

from vultus.cli.app import main as main
