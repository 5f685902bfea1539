"""What README, documentation and notebooks show, taken out and run: commands, files, Python, and what they print.

In a Markdown file a fenced block is
- bash: each line is a command. One whose comment begins with `needs` is not run: the reader sees what it needs. Nor is
  a block that begins with such a comment.
- yaml or python whose first line is a comment with a file's name: that file.
- other python: run, block after block with the same names, as the cells of a notebook are.
- text right below one that ran: what it printed, compared by shape.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from analysis.costs import COSTS
from analysis.report import SECTIONS
from mdl.cli import app
from mdl.compressors import REGISTRY as CODERS
from mdl.data import SOURCES
from mdl.models import ARCHITECTURES
from mdl.optimizers import OPTIMIZERS
from mdl.plugins import loading
from mdl.pretrained.own_models import MODELS
from mdl.sweeps import BACKENDS

_FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w/]+\.(?:yaml|py))\n")
_MARK = re.compile(r"#\s+needs ")
_NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:e-?\d+)?(?: ?[KMG](?=B?\b))?")


@dataclass(frozen=True)
class Block:
    """A fenced block; `follows` is whether nothing but blank lines parts it from the one before."""

    kind: str
    text: str
    follows: bool


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    end = 0
    for fence in _FENCE.finditer(markdown):
        yield Block(fence["kind"], fence["text"], follows=not markdown[end : fence.start()].strip())
        end = fence.end()


def cells(notebook: str) -> Iterator[Block]:
    """The code cells of a notebook, in order."""
    for cell in json.loads(notebook)["cells"]:
        if cell["cell_type"] == "code":
            yield Block("python", "".join(cell["source"]), follows=False)


def shape(text: str) -> list[str]:
    """Its lines with every number as #, every stretch of blanks or rules as one, and lists cut to their first.

    One unit stands for all of its kind: a busy machine plans for fewer bytes and takes minutes where an idle one takes
    seconds.
    """
    plain = re.sub(r"[ ─]+", " ", _NUMBER.sub("#", text))
    plain = re.sub(r"# (?:KB|MB|GB)\b", "# bytes", plain)
    plain = re.sub(r"# (?:h|min|s)\b(?: # (?:min|s)\b)?", "# s", plain)
    plain = re.sub(r"([^\s,(]+)(?:, \1)+", r"\1, …", plain)  # however many there are
    return [line.strip() for line in plain.splitlines() if line.strip()]


def is_of_shape(printed: str, shown: str) -> bool:
    """Whether what was printed looks as what the document shows; a line `…` stands for any lines."""
    wanted = ("(?:.*\n)*" if line == "…" else f"{re.escape(line)}\n" for line in shape(shown))
    return re.fullmatch("".join(wanted), "".join(f"{line}\n" for line in shape(printed))) is not None


class Runner:
    """Runs the blocks of one document in the folder that is the current one."""

    def __init__(self, folder: Path, best_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._best_run, self._monkeypatch = folder, best_run, monkeypatch
        self._names: dict[str, object] = {"__name__": "document"}
        self._printed: str | None = None

    def run(self, block: Block) -> None:
        """Run a block, or compare it with what the one before printed."""
        if block.kind == "text":
            if block.follows and self._printed is not None:
                assert is_of_shape(self._printed, block.text), f"{self._printed}\nis shown as\n{block.text}"
            self._printed = None
        elif named := _FILE.match(block.text):
            (self._folder / named["name"]).write_text(block.text)
        elif block.kind == "bash":
            lines = [] if _MARK.match(block.text) else block.text.splitlines()
            self._printed = "".join(filter(None, map(self._line, lines))) or None
        elif block.kind == "python":
            self._printed = self._python(block.text)

    def _line(self, line: str) -> str:
        if _MARK.search(line) or not line.strip():
            return ""
        words = shlex.split(line.replace("<run id>", self._best_run), comments=True)
        if words[:2] == ["mdl", "size"] and "--dry-run" not in words:  # a search takes half a minute: tests of its own
            return self._command([*words[1:], "--dry-run"]) and ""
        assert words[0] == "mdl", f"a test runs commands of mdl alone; say what this needs: {line}"
        return self._command(_small(words[1:]))

    def _command(self, words: list[str]) -> str:
        """In this process, which has the heavy imports already; what a plugin registers is forgotten after it."""
        printed, told = io.StringIO(), io.StringIO()
        with (
            self._monkeypatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(told),
        ):
            patch.setattr(sys, "argv", ["mdl", *words])
            with (
                _plugins_forgotten() if "--plugin" in words else contextlib.nullcontext(),
                pytest.raises(SystemExit) as ended,
            ):
                app.main()
        assert not ended.value.code, f"mdl {shlex.join(words)}\n{printed.getvalue()}{told.getvalue()}"
        return printed.getvalue()

    def _python(self, source: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "document", "exec"), self._names)  # noqa: S102 - our own documents
        return printed.getvalue()


@contextlib.contextmanager
def _plugins_forgotten() -> Iterator[None]:
    """What a plugin registers within is not there after it: a reader's next command is another process."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MDL_PLUGIN", "MDL_PLUGIN_SHA256"):
            patch.setenv(name, "")
        patch.setattr(loading, "_LOADED", {})
        for registry in (ARCHITECTURES, BACKENDS, CODERS, COSTS, MODELS, OPTIMIZERS, SECTIONS, SOURCES):
            list(registry.values())  # what comes along stays
            for held in ("_things", "_plugins"):
                patch.setattr(registry, held, dict(getattr(registry, held)))
        yield
    for name in set(sys.modules) - before:
        if name.startswith("mdl_plugin_"):
            del sys.modules[name]


def _small(words: list[str]) -> list[str]:
    """One process, since other tests run beside it, and no classical coders, which the one sweep has."""
    return [*words, "--workers", "1", "--no-baselines"] if words[0] == "sweep" and "--backend" not in words else words
