"""The archive of a byte model: its format, and blocks to coded streams and back."""
