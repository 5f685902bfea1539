"""The one way in which a kind of thing is extended: corpus source, coder, parameter cost, report section, back end …

A kind has a `Registry`. What comes with the toolkit is named there by the module that holds it, which is imported when
it is asked for; what a user adds registers itself when its own file is imported. It stands among the records since that
is the one room that `mdl` and `analysis` share.

Example
-------
>>> greetings: Registry[str] = Registry("greeting", built_in={})
>>> greetings.register("polite", "Good day")
'Good day'
>>> greetings["polite"], list(greetings)
('Good day', ['polite'])
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

from mdl.errors import MdlError, UnknownNameError, nearest

T = TypeVar("T")
_PLUGIN: ContextVar[Callable[[], str] | None] = ContextVar("plugin", default=None)  # the one being loaded


@contextmanager
def from_plugin(sha256: Callable[[], str]) -> Iterator[None]:
    """Within, what is registered comes from a plugin that has that SHA-256; all of it is known once it is loaded."""
    token = _PLUGIN.set(sha256)
    try:
        yield
    finally:
        _PLUGIN.reset(token)


class Registry(Mapping[str, T], Generic[T]):
    """Names of one kind of thing, in the order of their registration, each with the thing itself.

    Parameters
    ----------
    kind
        What a person calls one of them, such as "coder"; errors say it.
    built_in
        Name to the module that registers it, in the order in which they are to be listed. The module is imported when
        the name is looked up, and must register that name.
    """

    def __init__(self, kind: str, built_in: Mapping[str, str]) -> None:
        self.kind = kind
        self._modules = dict(built_in)
        self._things: dict[str, T] = {}
        self._plugins: dict[str, Callable[[], str]] = {}

    def register(self, name: str, thing: T) -> T:
        """Add `thing` under `name` and return it; MdlError where another thing has that name already."""
        if name in self._modules and self._modules[name] not in sys.modules:
            importlib.import_module(self._modules[name])  # registers its own: a user's may not stand in for it
        if self._things.get(name, thing) is not thing:
            one = "an" if self.kind[0] in "aeiou" else "a"
            raise MdlError(f"there is {one} {self.kind} '{name}' already; give yours another name")
        self._things[name] = thing
        sha256 = _PLUGIN.get()
        if sha256 and name not in self._modules:  # what comes along may be imported while a plugin is
            self._plugins[name] = sha256
        return thing

    def plugin_of(self, name: str) -> str | None:
        """SHA-256 of the plugin that registered a name; None for what comes along, or was imported in Python."""
        return self._plugins[name]() if name in self._plugins else None

    def __getitem__(self, name: str) -> T:
        """The thing of that name; MdlError naming the nearest one where there is none."""
        if name not in self._things and name in self._modules:
            importlib.import_module(self._modules[name])
        if name not in self._things:
            known = f"there are {', '.join(self)}; --plugin FILE adds those of your own"
            raise UnknownNameError(f"unknown {self.kind} '{name}'{nearest(name, self)} ({known})")
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._modules, *self._things]))

    def __len__(self) -> int:
        return len({*self._modules, *self._things})

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._things
