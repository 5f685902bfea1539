from .continuation import open_coder as open_coder
from .prompts import USUAL_BYTES as USUAL_BYTES
from .prompts import Prompt as Prompt
from .prompts import open_prompt as open_prompt
from .sampling import Sampling as Sampling
