"""Records on disk as tables."""
