"""Weights in few bits: rounding, tuning, coding, and the two-part code at every precision."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
