"""A grid of configurations: planned, claimed, run by many processes."""
