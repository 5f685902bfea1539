from .compressors import compressor as compressor
from .errors import MdlError as MdlError
from .plugins import load_plugin as load_plugin
from .sizing import Answer as Answer
from .sizing import size as size
from .sweeps import Sweep as Sweep
from .sweeps import run as run

__version__: str
