"""Figures that compute nothing."""
