"""Prices of a parameter by name. The same code length gives another critical size under another price."""

from __future__ import annotations

from analysis.costs.base import ParameterCost
from mdl.records import Registry

COSTS: Registry[ParameterCost] = Registry(
    "cost",
    {
        "float32": "analysis.costs.fixed",
        "float16": "analysis.costs.fixed",
        "float16-used": "analysis.costs.used_rows",
        "logn": "analysis.costs.logn",
        "coded": "analysis.costs.coded",
        "file": "analysis.costs.file",
        "capacity": "analysis.costs.fixed",
        "none": "analysis.costs.fixed",
    },
)


def register_cost(cost: ParameterCost) -> ParameterCost:
    """Add a price under its name, for --cost and `study(cost=...)`; MdlError where the name is taken."""
    return COSTS.register(cost.name, cost)


def known_costs(*own: ParameterCost) -> list[ParameterCost]:
    """All that are registered, in the order of their registration, and `own` ones, which need not be."""
    return list({cost.name: cost for cost in [*COSTS.values(), *own]}.values())
