"""Causal language models of others: read, measured, and used as compressors."""
