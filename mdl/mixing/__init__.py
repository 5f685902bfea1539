"""A model's next byte mixed with what its contexts have been followed by: one bit at a time, on whole numbers alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
