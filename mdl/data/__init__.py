"""Corpora: bytes from any source, split, shuffled, cut into windows."""
