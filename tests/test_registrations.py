"""What is new is asked for what the toolkit has to know of it: nobody guesses, and no table elsewhere has its name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from analysis.costs import COSTS, register_cost
from analysis.report import register_section
from mdl.compressors import REGISTRY, register_coder, register_external
from mdl.data import register_source
from mdl.errors import MdlError
from mdl.models import ARCHITECTURES, add_architecture, register_architecture
from mdl.optimizers import OPTIMIZERS, register_optimizer
from mdl.pretrained import register_model
from mdl.records import Registry
from mdl.sweeps import BACKENDS, register_backend
from tests import ROOT

REGISTER = [
    add_architecture,
    register_architecture,
    register_backend,
    register_coder,
    register_cost,
    register_external,
    register_model,
    register_optimizer,
    register_section,
    register_source,
]
# What may be left unsaid, and what that means: nothing is guessed.
MAY_BE_LEFT_OUT = {
    "register_architecture.flops_per_byte": "counted in a forward pass",
    "register_architecture.training_bytes": "measured in a forward pass",
    "register_coder.program": "it is no program",
    "register_external.modalities": "any: a program packs any file",
    "register_external.extension": "its files have none",
    "register_model.files": "the model has no file, so that the price `file` is not known",
}

ROOMS: dict[str, Registry[Any]] = {
    "analysis/costs": COSTS,
    "mdl/compressors": REGISTRY,
    "mdl/models": ARCHITECTURES,
    "mdl/optimizers": OPTIMIZERS,
    "mdl/sweeps/backends": BACKENDS,
}
TABLES_BY_NAME = {
    "analysis/report/sections/code_comparison.py": "decoders of older records, which do not tell their sizes",
    "analysis/report/sections/recipe.py": "how two optimizers are spelled; another stands as it is named",
}


@pytest.mark.parametrize("register", REGISTER, ids=lambda function: function.__name__)
def test_a_registration_says_all_that_the_toolkit_has_to_know(register: Callable[..., Any]) -> None:
    """A parameter has a default only where leaving it out is an answer."""
    parameters = inspect.signature(register).parameters.values()
    unsaid = {f"{register.__name__}.{one.name}" for one in parameters if one.default is not one.empty}
    assert unsaid <= MAY_BE_LEFT_OUT.keys()


def test_what_may_be_left_out_can_be() -> None:
    """The list above names nothing that is gone."""
    known = {f"{register.__name__}.{name}" for register in REGISTER for name in inspect.signature(register).parameters}
    assert known >= MAY_BE_LEFT_OUT.keys()


def test_what_is_known_of_a_registered_name_stands_where_it_is_registered() -> None:
    """A table by names in another room would not have those that a plugin registers."""
    found = set()
    for file in (*ROOT.glob("mdl/**/*.py"), *ROOT.glob("analysis/**/*.py")):
        path = file.relative_to(ROOT).as_posix()
        tables = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Dict)]
        keys = [{key.value for key in table.keys if isinstance(key, ast.Constant)} for table in tables]
        for room, registry in ROOMS.items():
            if not path.startswith(f"{room}/") and any(len(own & set(registry)) > 1 for own in keys):
                found.add(path)
    assert found == TABLES_BY_NAME.keys()


def test_a_source_is_of_a_modality_that_forecasts_and_coders_know() -> None:
    """Of another one `mdl size` would have guessed, and most coders would have been left out."""
    with pytest.raises(MdlError, match=r"'scents': modalities are text, .*; got smell"):
        register_source("scents", lambda *_: None, form="scents:PATH", modality="smell", needs_network=False)  # type: ignore[arg-type, return-value]
