from .compressors import compressor as compressor
from .errors import MdlError as MdlError
from .sweeps import Sweep as Sweep
from .sweeps import run as run

__version__: str
