from . import stop_signal as stop_signal
from .checkpoint import checkpoint_step as checkpoint_step
from .cohort_run import run_cohort as run_cohort
from .loggers import log_record as log_record
from .progress import PHASES as PHASES
from .progress import Check as Check
from .progress import PhaseProgress as PhaseProgress
