from .plots import Plots as Plots
from .records import Records as Records
from .records import load as load
from .scaling_fit import ScalingFit as ScalingFit
from .scaling_fit import fit_scaling_law as fit_scaling_law
from .size_law import SizeLaw as SizeLaw
from .studies import Study as Study
