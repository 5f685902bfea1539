"""Language models as lossless compressors, their parameters counted: how big a model does this data pay for?

    >>> import mdl, analysis
    >>> folder = mdl.run(mdl.Sweep.from_yaml("sweeps/quick.yaml"))    # doctest: +SKIP
    >>> analysis.load(folder).study().critical                        # doctest: +SKIP

`mdl` measures and writes records; `analysis` reads them and explains.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
