from .registry import COSTS as COSTS
from .registry import PAPER as PAPER
from .registry import Cost as Cost
from .registry import parse_cost as parse_cost
from .registry import priced as priced
