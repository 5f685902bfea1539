"""Configurations by flat, dotted keys, as in a W&B sweep file.

Every leaf name is unique, so `width` is as good as `model.width`. An unknown key or an impossible value is one MdlError
that names the key, the value and the nearest valid key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from mdl.config.parts import Part
from mdl.config.run_config import RunConfig
from mdl.errors import MdlError, UnknownNameError, nearest, problem_of, quoted
from mdl.units import parse_bytes

_BATCH_BYTES = "train.batch_bytes"  # short for batch_windows


@cache
def valid_keys() -> dict[str, str]:
    """Every dotted key and its one-line description."""
    keys: dict[str, str] = {}
    for name, spec in RunConfig.model_fields.items():
        part = spec.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            keys |= {f"{name}.{leaf}": str(inner.description) for leaf, inner in part.model_fields.items()}
        else:
            keys[name] = str(spec.description)
    return keys | {_BATCH_BYTES: "bytes per step and member, in place of batch_windows; a multiple of the context"}


@cache
def full_key(key: str) -> str:
    """The dotted key that `key`, a dotted key or a leaf name, stands for; MdlError naming the nearest otherwise."""
    keys = valid_keys()
    if key in keys:
        return key
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in keys}
    if key in by_leaf:
        return by_leaf[key]
    raise MdlError(f"unknown key '{key}'{nearest(key, [*keys, *by_leaf])}")


def from_flat(values: Mapping[str, Any]) -> RunConfig:
    """A checked RunConfig from dotted keys (or leaf names); MdlError in one line for a bad key or value."""
    nested: dict[str, Any] = {"model": {}}
    for key, value in values.items():
        if not isinstance(value, str | int | float | None):
            raise MdlError(f"{key}: want one number or word, got {quoted(value)}")
        *part, leaf = full_key(key).split(".")
        (nested.setdefault(part[0], {}) if part else nested)[leaf] = value
    _batch_in_windows(nested)
    if not nested["model"]:
        raise MdlError("no model: give model.size (such as 16x2), or model.width and model.depth")
    try:
        config = RunConfig.model_validate({key: _checked_once(key, value) for key, value in nested.items()})
    except ValidationError as error:
        raise _kind_of(error)(_one_line(error)) from None
    config.check_shape()
    return config


def _checked_once(key: str, value: Any) -> Any:
    """A part as it was checked before; any other value, and a part that is wrong, as it is."""
    try:
        return _part(key, json.dumps(value)) if isinstance(value, dict) else value
    except ValidationError:
        return value  # the whole names the key


@lru_cache(maxsize=1024)  # a sweep of 10,000 cells has few different parts
def _part(key: str, values: str) -> Part:
    """Of its values as JSON, which tells 1 from 1.0 and true."""
    kind = RunConfig.model_fields[key].annotation
    assert isinstance(kind, type)  # noqa: S101 - only parts have leaves
    assert issubclass(kind, Part)  # noqa: S101
    return kind.model_validate(json.loads(values))


def _batch_in_windows(nested: dict[str, Any]) -> None:
    """Contexts of a sweep are comparable where each step has as many bytes; a cell is named by its windows alone."""
    train = nested.get("train", {})
    if "batch_bytes" not in train:
        return
    given, context = (parse_bytes(v) for v in (train.pop("batch_bytes"), nested["model"].get("context_bytes", 256)))
    if "batch_windows" in train or given < context or given % context:
        raise MdlError(
            f"{_BATCH_BYTES}: {given:,} must be a multiple of model.context_bytes, {context:,}, and "
            "train.batch_windows left out"
        )
    train["batch_windows"] = given // context


def _kind_of(error: ValidationError) -> type[MdlError]:
    """As one line: an unknown name, which a plugin may register, is told from what is wrong with any plugin."""
    cause = error.errors()[0].get("ctx", {}).get("error")
    return UnknownNameError if isinstance(getattr(cause, "__cause__", None), UnknownNameError) else MdlError


def _one_line(error: ValidationError) -> str:
    """`key: message, got value` for the first thing wrong."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    text = problem_of(first)
    if first["loc"] in ((), ("model",)):
        return text
    return (
        f"{key}: {text[0].lower()}{text[1:]}, got {quoted(first['input'])} ({valid_keys().get(key, 'see the README')})"
    )
