"""From records of measurements to critical model sizes, figures and a report.

    >>> import analysis
    >>> study = analysis.load("runs/quick").study(cost="float16")    # doctest: +SKIP
    >>> study.critical, study.size_law, study.plot.adjusted_rate()    # doctest: +SKIP

It reads the JSON that a sweep leaves on disk, or anyone's CSV, and needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
