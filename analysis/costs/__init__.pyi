from .base import ParameterCost as ParameterCost
from .fixed import CAPACITY_BITS as CAPACITY_BITS
from .fixed import PAPER as PAPER
from .fixed import Fixed as Fixed
from .parsing import parse_cost as parse_cost
from .registry import COSTS as COSTS
from .registry import known_costs as known_costs
from .registry import register_cost as register_cost
