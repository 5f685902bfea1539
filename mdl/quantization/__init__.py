"""Weights in few bits: rounding, tuning, coding, and the two-part code at every precision."""
