"""The command line: `mdl`, `python -m mdl.cli`."""

from mdl.cli.app import main as main
