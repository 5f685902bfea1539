"""Language models as lossless compressors, their parameters counted: how big a model does this data pay for?"""

__version__ = "0.1.0"
