"""The report: a PDF and its twins."""
