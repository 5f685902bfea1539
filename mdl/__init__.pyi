from .compressors import compressor as compressor
from .errors import MdlError as MdlError
from .evaluation import Measurement as Measurement
from .evaluation import measure as measure
from .models import Predictor as Predictor
from .models import register_architecture as register_architecture
from .plugins import load_plugin as load_plugin
from .pretrained import register_model as register_model
from .sizing import Answer as Answer
from .sizing import size as size
from .sweeps import Sweep as Sweep
from .sweeps import run as run

__version__: str
