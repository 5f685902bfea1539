"""Claims about the toolkit: a folder a room; what concerns several rooms lies here."""

from pathlib import Path

ROOT = Path(__file__).parent.parent  # of the checkout
