from .compressors import compressor as compressor
from .errors import MdlError as MdlError
from .plugins import load_plugin as load_plugin
from .sweeps import Sweep as Sweep
from .sweeps import run as run

__version__: str
