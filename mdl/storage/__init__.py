"""Files: written whole or not at all, cached, sliced; and which process wrote them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
