"""Parsed JSON as a dataclass, every field checked against what its annotation says: the one check of what is read."""

from __future__ import annotations

import dataclasses
import reprlib
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal

from mdl.records.fields import MOST_COUNT, MOST_DEPTH, MOST_MEASUREMENT, NAME, Form, Range, is_text, key_of

Decode = Callable[[Any], Any]
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 40


class MismatchError(ValueError):
    """What a field holds and what was wanted there; `where` is the field's dotted place."""

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(f"{where} {problem}".strip())
        self.problem, self.where = problem, where

    def within(self, name: str) -> MismatchError:
        """The same, seen from one level above."""
        joint = "" if not self.where or self.where.startswith("[") else "."
        return MismatchError(self.problem, f"{name}{joint}{self.where}")


@cache
def decoder(annotation: Any) -> Decode:
    """A function from parsed JSON to an instance of `annotation`; it raises MismatchError.

    Dataclasses, tuples, dictionaries, optionals, literals, numbers and text, with the limits of `fields`.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if dataclasses.is_dataclass(annotation):
        return _of_dataclass(typing.cast(type, annotation))
    if origin is Annotated:
        return _limited(*arguments)
    if origin is tuple:
        return _list_of(decoder(arguments[0]))
    if origin is dict:
        return _dict_of(decoder(arguments[1]))
    if origin in (types.UnionType, typing.Union):
        (kind,) = (argument for argument in arguments if argument is not type(None))
        inner = decoder(kind)
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return _one_of(arguments)
    return _PLAIN[annotation]


def _wanted(value: Any, what: str) -> MismatchError:
    return MismatchError(f"is {_SHORT.repr(value)}, want {what}")


def _of_dataclass(cls: type) -> Decode:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields_of = dataclasses.fields(cls)
    required = [(f.name, key_of(f), decoder(hints[f.name])) for f in fields_of if _default_of(f) is None]
    optional = [(f.name, key_of(f), decoder(hints[f.name]), make) for f in fields_of if (make := _default_of(f))]
    new: Callable[[type], Any] = object.__new__

    def decode(value: Any) -> Any:
        """Its fields are set at once: `__init__` of a frozen class takes as long as all checks."""
        if type(value) is not dict:
            raise _wanted(value, "an object")
        instance = new(cls)
        fields = instance.__dict__
        key = ""
        try:
            for name, key, decode_field in required:
                fields[name] = decode_field(value[key])
            for name, key, decode_field, make_default in optional:
                fields[name] = decode_field(value[key]) if key in value else make_default()
        except MismatchError as bad:
            raise bad.within(key) from None
        except KeyError:
            raise MismatchError("is missing", key) from None
        return instance

    return decode


def _default_of(field: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    """What makes the value of a field that is absent; None where it may not be."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    return None if field.default is dataclasses.MISSING else lambda: field.default


def _list_of(decode_item: Decode) -> Decode:
    def decode(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _wanted(value, "a list")
        items: list[Any] = []
        try:
            for item in value:
                items.append(decode_item(item))
        except MismatchError as bad:
            raise bad.within(f"[{len(items)}]") from None
        return tuple(items)

    return decode


def _dict_of(decode_item: Decode) -> Decode:
    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _wanted(value, "an object")
        items = {}
        for name, item in value.items():
            if not NAME.holds(name):
                raise MismatchError(f"has a key {_SHORT.repr(name)}, want {NAME.what}")
            try:
                items[name] = decode_item(item)
            except MismatchError as bad:
                raise bad.within(name) from None
        return items

    return decode


def _one_of(choices: tuple[Any, ...]) -> Decode:
    def decode(value: Any) -> Any:
        if type(value) is str and value in choices:
            return value
        raise _wanted(value, " or ".join(map(repr, choices)))

    return decode


def _limited(kind: type, limit: Range | Form) -> Decode:
    if isinstance(limit, Form):
        return _text(limit)
    return _whole(limit) if kind is int else _number(limit)


def _whole(limit: Range) -> Decode:
    least, most = limit.least, limit.most

    def decode(value: Any) -> int:
        if type(value) is int and least <= value <= most:
            return value
        raise _wanted(value, f"a whole number of at least {least}, below 2^63")

    return decode


def _number(limit: Range) -> Decode:
    least, most = limit.least, limit.most

    def decode(value: Any) -> float:
        if (type(value) is float or type(value) is int) and least <= value <= most:
            return float(value)
        raise _wanted(value, f"a number of {least:g} to {most:g}")

    return decode


def _text(form: Form) -> Decode:
    holds = form.holds

    def decode(value: Any) -> str:
        if type(value) is str and holds(value):
            return value
        raise _wanted(value, form.what)

    return decode


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _wanted(value, "true or false")


def anything(value: Any, depth: int = 0) -> Any:
    """Any JSON of at most MOST_DEPTH levels, its numbers finite and below 2^63, its text fit for a file."""
    if depth > MOST_DEPTH:
        raise MismatchError(f"is nested more than {MOST_DEPTH} deep")
    if isinstance(value, dict):
        _dict_of(lambda item: anything(item, depth + 1))(value)
    elif isinstance(value, list):
        _list_of(lambda item: anything(item, depth + 1))(value)
    elif isinstance(value, str) and not is_text(value):
        raise _wanted(value, "text without NUL or half characters")
    elif isinstance(value, float) and not abs(value) <= MOST_MEASUREMENT:  # false of NaN
        raise _wanted(value, f"a number of at most {MOST_MEASUREMENT:g}")
    elif isinstance(value, int) and abs(value) > MOST_COUNT:
        raise _wanted(value, "a number below 2^63")
    return value


_PLAIN: dict[Any, Decode] = {
    int: _whole(Range(0, MOST_COUNT)),
    float: _number(Range(0, MOST_MEASUREMENT)),
    str: _text(NAME),
    bool: _flag,
    Any: anything,
}
