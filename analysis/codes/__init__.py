"""Rates of codes: two-part, block-prequential, online."""
