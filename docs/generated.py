"""What the reference pages take from the code each time they are built, so that they cannot fall behind it.

A page asks by a line of its own, such as `<!-- generated: commands -->`; the Markdown that a function of that name
returns stands there instead. In the source such a page has gaps, and says so in a paragraph that no built page has.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

import analysis
import mdl
from analysis.costs import COSTS
from analysis.report.sections.definitions import definitions
from mdl.cli.app import app
from mdl.cli.grouped_help import ENDING
from mdl.compressors import REGISTRY as CODERS
from mdl.config.parts import Part
from mdl.config.run_config import RunConfig
from mdl.data import SOURCES
from mdl.models import ARCHITECTURES
from mdl.optimizers import OPTIMIZERS
from mdl.sweeps import BACKENDS

_GLOSSARY = """# Glossary

<!-- by python docs/generated.py, from analysis/report/sections/definitions.py -->

Every term of the reports, in the words that they print on their last pages. [Concepts](concepts.md) explains the main
ones at more length. On this page c is in bits per parameter; on the others it is in bytes."""
_WIDEST = 100  # characters of a fixed-width line that a window of 1,280 pixels shows
_SOURCE_ONLY = re.compile(r"^> \*\*Built page only\.\*\* (?:.+\n)+\n", re.MULTILINE)
_PLACE = re.compile(r"^<!-- generated: (?P<name>\w+)(?: (?P<of>[\w.]+))? -->$", re.MULTILINE)


def commands() -> str:
    """Every command with its usage, what it does, its arguments and its options, as `mdl COMMAND --help` has them."""
    group = typer.main.get_command(app)
    with group.make_context("mdl", [], resilient_parsing=True) as outer:
        shown = [(name, group.get_command(outer, name)) for name in group.list_commands(outer)]
        parts = [_command("mdl", group, outer, title="Options of every command")]
        for name, command in shown:
            if not command.hidden:
                with command.make_context(name, [], parent=outer, resilient_parsing=True) as ctx:
                    parts.append(_command(f"mdl {name}", command, ctx, title=f"`mdl {name}`"))
    return "\n".join(parts)


def _command(name: str, command: Any, ctx: Any, *, title: str) -> str:
    usage = " ".join([name, *command.collect_usage_pieces(ctx)])
    records = [(p, p.get_help_record(ctx)) for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    rows = [(f"`{told[0].strip()}`", told[1]) for _, told in records if told]
    said = [inspect.cleandoc(command.help or ""), _table(("name", "meaning"), rows)]
    said += [keys] if (keys := getattr(command, "json_keys", "")) else []
    lines = getattr(command, "examples", ())
    said += ["\n".join(["```bash", *lines, "```"])] if lines else []
    return "\n\n".join([f"## {title}\n\n```text\n{usage}\n```", *said]) + "\n"


def keys() -> str:
    """Every key of a sweep file with its range, its default and its meaning."""
    parts = [("The cell", RunConfig, "")]
    for name, field in RunConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Part):
            parts.append((f"`{name}.…`", kind, f"{name}."))
    return "\n".join(_keys_of(title, kind, prefix) for title, kind, prefix in parts)


def _keys_of(title: str, kind: Any, prefix: str) -> str:
    rows = []
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part):
            continue
        default = "must be given" if field.is_required() else _default(field.default)
        rows.append((f"`{prefix}{name}`", default, _range(field.metadata), field.description or ""))
    said = inspect.getdoc(kind) if prefix else "These keys have no dot."
    return f"## {title}\n\n{said}\n\n{_table(('key', 'default', 'range', 'meaning'), rows)}\n"


def _default(value: Any) -> str:
    return "none, or automatic" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


_LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _range(metadata: Iterable[Any]) -> str:
    limits = [
        f"{sign} {value:,}" if abs(value) < 2**62 else f"{sign} 2^{int(value).bit_length() - 1}"
        for entry in metadata
        for name, sign in _LIMITS.items()
        if (value := getattr(entry, name, None)) is not None
    ]
    return ", ".join(limits)


def fields_below(module_name: str) -> str:
    """The same, a heading lower."""
    return fields(module_name).replace("## ", "### ")


def fields(module_name: str) -> str:
    """Every class of a module of dataclasses or typed dicts: its docstring, and a row a field with its comment."""
    module = importlib.import_module(module_name)
    source = inspect.getsource(module)
    lines = source.splitlines()
    parts = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            rows = [_field(entry, lines) for entry in node.body if isinstance(entry, ast.AnnAssign)]
            said = _plain(ast.get_docstring(node) or "")
            parts.append(f"## {node.name}\n\n{said}\n\n{_table(('field', 'type', 'meaning'), rows)}\n")
    return "\n".join(parts)


def _field(entry: ast.AnnAssign, lines: Sequence[str]) -> tuple[str, str, str]:
    name, kind = ast.unparse(entry.target), ast.unparse(entry.annotation)
    renamed = [node.values[0] for node in ast.walk(entry) if isinstance(node, ast.Dict) and node.values]
    name = ast.literal_eval(renamed[0]) if renamed else name  # in JSON, where that is another one
    line = lines[(entry.end_lineno or entry.lineno) - 1]
    return f"`{name}`", f"`{kind}`", line.partition("  # ")[2]


def docstring(name: str) -> str:
    """A module's docstring: its paragraphs as prose, what is indented as a block of columns that no page cuts off."""
    said = inspect.getdoc(importlib.import_module(name)) or ""
    return "\n\n".join(_columns(part) if part.startswith("  ") else _prose(part) for part in said.split("\n\n")) + "\n"


def _prose(text: str) -> str:
    return re.sub(r"\\\*(\w+)\\\*", r"*\1*", _plain(text))  # *block* stays emphasis


def _columns(text: str) -> str:
    """Lines of columns, the last of which is wrapped below itself; its name in the first line says where it begins."""
    first, *lines = textwrap.dedent(text).splitlines()
    last = first.rindex(" ") + 1
    rows = [first]
    for line in lines:
        if line[: last + 1].strip():
            rows.append(line)
        else:
            rows[-1] += f" {line.strip()}"
    below = " " * (last + 2)
    wrapped = [row for line in rows for row in textwrap.wrap(line, _WIDEST, subsequent_indent=below)]
    return "\n".join(["```text", *wrapped, "```"])


def glossary() -> str:
    """The page of the report's definitions, which stands in the source too, for who reads it there."""
    rows = next(block.rows for block in definitions() if hasattr(block, "rows"))
    told = [f"**{_plain(term)}**: {_plain(meaning)}" for term, meaning in sorted(rows, key=lambda row: row[0].lower())]
    return "\n\n".join([_GLOSSARY, *told]) + "\n"


def sources() -> str:
    """Kinds of corpora."""
    kinds = {SOURCES[name].form: SOURCES[name] for name in SOURCES}
    rows = [(f"`{form}`", k.modality, "yes" if k.needs_network else "no") for form, k in kinds.items()]
    return _table(("`corpus.source`", "modality", "may need the network"), rows)


def coders() -> str:
    """Classical coders."""
    rows = [(f"`{name}`", ", ".join(CODERS[name].modalities)) for name in CODERS]
    return _table(("coder", "made for"), rows)


def costs() -> str:
    """Prices of a parameter."""
    return _table(("`--cost`", "what is paid"), [(f"`{name}`", cost.sentence) for name, cost in COSTS.items()])


def environment() -> str:
    """Rows of the variables that `mdl --help` names."""
    return "\n".join(f"| `{name}` | {_cell(meaning)} |" for name, meaning in ENDING["Environment"])


def exit_codes() -> str:
    """Rows of the exit codes that `mdl --help` names."""
    return "\n".join(f"| {code} | {_cell(meaning)} |" for code, meaning in ENDING["Exit codes"])


def names() -> str:
    """Architectures, optimizers and back ends that come along."""
    kinds = {"architecture": ARCHITECTURES, "optimizer": OPTIMIZERS, "back end": BACKENDS}
    return _table(("kind", "names"), [(kind, ", ".join(f"`{n}`" for n in known)) for kind, known in kinds.items()])


_FIRST = {"mdl": ("size", "run", "measure"), "analysis": ("load",)}  # what most readers look for


def api(name: str) -> str:
    """Every public name of a package, from its docstrings."""
    package = {"mdl": mdl, "analysis": analysis}[name]
    names = dict.fromkeys([*_FIRST[name], *package.__all__])
    return "\n".join(_documented(name, public, getattr(package, public)) for public in names)


def _documented(package: str, name: str, thing: Any) -> str:
    kind = "autofunction" if inspect.isfunction(thing) else "autoclass"
    members = "" if kind == "autofunction" else "\n   :members:"
    return f"## `{package}.{name}`\n\n```{{eval-rst}}\n.. {kind}:: {package}.{name}{members}\n```\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """On one line, its bars and brackets no markup."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text if text.startswith("`") else _plain(text)


def _plain(text: str) -> str:
    """Prose whose signs are no markup."""
    return re.sub(r"([*_<>\[\]{}$])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text)


_WRITERS: dict[str, Callable[..., str]] = {
    f.__name__: f
    for f in (
        commands,
        keys,
        fields,
        fields_below,
        docstring,
        sources,
        coders,
        costs,
        names,
        api,
        environment,
        exit_codes,
    )
}


def _fill(_: Any, __: str, content: list[str]) -> None:
    def written(place: re.Match[str]) -> str:
        return _WRITERS[place["name"]](*([place["of"]] if place["of"] else []))

    content[0] = _PLACE.sub(written, _SOURCE_ONLY.sub("", content[0]))


def setup(app: Any) -> dict[str, bool]:
    """Ask Sphinx to hand every page over before it reads it."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    Path(__file__).with_name("glossary.md").write_text(glossary(), encoding="utf-8")
