from .api import Records as Records
from .api import ScalingFit as ScalingFit
from .api import SizeLaw as SizeLaw
from .api import Study as Study
from .api import fit_scaling_law as fit_scaling_law
from .api import load as load
from .errors import AnalysisError as AnalysisError
