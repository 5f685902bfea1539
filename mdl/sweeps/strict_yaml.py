"""YAML of people: a key twice is an error, and neither its size nor its anchors can take the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mdl.errors import MdlError, quoted

MOST_BYTES = 1_000_000  # of a file
MOST_VALUES = 200_000  # of a file, with every alias written out


def read_yaml(path: Path) -> tuple[str, Any]:
    """A file's text and what it says; MdlError in one line for what is no YAML, too large, or says a key twice."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise MdlError(f"{path} is larger than {MOST_BYTES:,} bytes, which no sweep file is; name another")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MdlError(f"cannot read sweep file {path}: {error}; save it as UTF-8") from None
    return text, parse_yaml(text, str(path))


def parse_yaml(text: str, what: str) -> Any:
    """What the text says, of plain types alone; MdlError in one line, beginning with `what`."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check(root, {}, what)
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise MdlError(f"{what} is not valid YAML: {' '.join(str(error).split())[:300]}") from None
    except RecursionError:
        raise MdlError(f"{what} is not valid YAML: it nests too deeply") from None
    except (ValueError, OverflowError) as error:  # a date that there is not, an integer of 5,000 digits
        raise MdlError(f"{what} is not valid YAML: {' '.join(str(error).split())[:200]}") from None


def _check(node: yaml.Node, sizes: dict[int, int], what: str) -> int:
    """How many values a node stands for once its aliases are written out. Refuses keys given twice."""
    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = MOST_VALUES + 1  # until it is counted: an alias of itself has no end
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        _check_keys(node, what)
        children = [part for pair in node.value for part in pair]
    size = 1
    for child in children:
        size += _check(child, sizes, what)
        if size > MOST_VALUES:
            line = node.start_mark.line + 1
            raise MdlError(f"{what}, line {line}: it stands for more than {MOST_VALUES:,} values; use fewer aliases")
    sizes[id(node)] = size
    return size


def _check_keys(node: yaml.MappingNode, what: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise MdlError(f"{what}, line {line}: a key must be one word")
        if key.value in lines and key.value != "<<":
            said = f"{quoted(key.value)} is given twice, in line {lines[key.value]} and in line {line}"
            raise MdlError(f"{what}: {said}; leave one out")
        lines[key.value] = line
