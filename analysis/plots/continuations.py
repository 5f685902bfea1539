"""What compressors make of a prompt, drawn from the JSON that `mdl generate --figure` leaves. Computes nothing.

A row per prompt: what really follows, then what each coder goes on with, as in the paper's figure of generated data.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import AnalysisError
from analysis.plots.figure_file import figure_bytes
from analysis.records import read_object

_COLUMNS = 64  # pixels per row of a patch
_LINE, _LINES = 40, 14  # characters of text a line, and lines
_CUT = "#c44e52"  # where the prompt ends
_WIDTH = 2.1  # of a panel, inches
_PANEL = {"image": _WIDTH / 2, "audio": 1.0}
Sample = dict[str, Any]


def read_continuations(path: Path) -> list[Sample]:
    """Samples as written, with `content`, `given` and `truth` as bytes; AnalysisError for what is no such file."""
    record = read_object(path, "continuations")
    try:
        return [
            {key: str(sample[key]) for key in ("coder", "prompt", "modality")}
            | {new: base64.b64decode(sample[old], validate=True) for new, old in _BYTES.items()}
            for sample in record["samples"]
        ]
    except (KeyError, TypeError, binascii.Error) as error:
        raise AnalysisError(f"{path} holds no continuations ({error}); make it again with mdl generate") from None


_BYTES = {"given": "prompt_base64", "truth": "truth_base64", "content": "content_base64"}


def draw_continuations(record: Path, figure: Path) -> None:
    """The figure of a record, PDF or PNG by its name."""
    samples = read_continuations(record)
    figure.write_bytes(figure_bytes(lambda: plot_continuations(samples), figure.suffix.removeprefix(".")))


def plot_continuations(samples: list[Sample]) -> Figure:
    """A grid of panels: rows prompts, the first column what really follows, then a column per coder."""
    from matplotlib import pyplot as plt

    prompts = list(dict.fromkeys((s["prompt"], s["given"], s["modality"]) for s in samples))
    rows = [[s for s in samples if (s["prompt"], s["given"]) == p[:2]] for p in prompts]
    n_columns = 1 + max(len(row) for row in rows)
    heights = [_PANEL.get(modality, 0.13 * _LINES + 0.1) for _, _, modality in prompts]
    figure, panels = plt.subplots(
        len(rows),
        n_columns,
        squeeze=False,
        figsize=(_WIDTH * n_columns, sum(heights) + 0.25 * len(rows)),
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    for axes_row, row in zip(panels, rows, strict=True):
        truth = row[0] | {"coder": "what follows" if row[0]["truth"] else "the prompt", "content": row[0]["truth"]}
        for axes, sample in zip(axes_row, [truth, *row], strict=False):
            _panel(axes, sample)
        for axes in axes_row[len(row) + 1 :]:
            axes.set_axis_off()
    return figure


def _panel(axes: Axes, sample: Sample) -> None:
    {"image": _image, "audio": _sound}.get(sample["modality"], _text)(axes, sample)
    axes.set_title(_short(sample["coder"]), fontsize=8.5, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def _short(coder: str) -> str:
    """A run's folder as sweep/run, without the hash at its end."""
    name = "/".join(coder.rstrip("/").split("/")[-2:])
    stem, _, tail = name.rpartition("-")
    return stem if stem and len(tail) == 8 else name


def _image(axes: Axes, sample: Sample) -> None:
    """Rows from the top; where the prompt ends a mark on either side."""
    content = sample["given"] + sample["content"]
    pixels = np.frombuffer(content + bytes(-len(content) % _COLUMNS), np.uint8).reshape(-1, _COLUMNS)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    at = len(sample["given"]) / _COLUMNS - 0.5
    for x in (-0.5, _COLUMNS - 0.5):
        axes.plot([x - 1.2, x + 1.2], [at, at], color=_CUT, clip_on=False, linewidth=1.4)
    axes.set_xlim(-0.5, _COLUMNS - 0.5)
    axes.set_axis_off()


def _sound(axes: Axes, sample: Sample) -> None:
    """The wave; what was given in grey."""
    n = len(sample["given"])
    wave = np.frombuffer(sample["given"] + sample["content"], np.uint8).astype(float) - 128
    axes.plot(np.arange(n + 1)[: wave.size], wave[: n + 1], color="0.6", linewidth=0.5)
    axes.plot(np.arange(n, wave.size), wave[n:], color="black", linewidth=0.5)
    axes.axvline(n, color=_CUT, linewidth=1)
    real = np.frombuffer(sample["given"] + sample["truth"], np.uint8).astype(float) - 128
    high = max(8.0, 1.1 * float(np.abs(real).max(initial=0)))  # the same in every column
    axes.set_ylim(-high, high)


def _text(axes: Axes, sample: Sample) -> None:
    """The end of what was given in grey, then the continuation; what cannot be shown as a dot."""
    given, content = (_shown(sample[name]) for name in ("given", "content"))
    tail = given[-(_LINE * 3) :] if sample["content"] else given[-_LINE * _LINES :]
    shown = (tail + content)[: _LINE * _LINES]
    for i in range(0, len(shown), _LINE):
        y = 1 - (i // _LINE + 0.5) / _LINES
        before = max(0, min(_LINE, len(tail) - i))
        line = shown[i : i + _LINE]
        how: dict[str, Any] = {"family": "DejaVu Sans Mono", "fontsize": 5.6, "va": "center", "parse_math": False}
        axes.text(0.02, y, line[:before], color="0.55", transform=axes.transAxes, **how)
        axes.text(0.02, y, " " * before + line[before:], transform=axes.transAxes, **how)


def _shown(content: bytes) -> str:
    text = content.decode("utf-8", "replace").replace("\n", "¶")
    return "".join(c if c.isprintable() and c != "�" and ord(c) < 0x2000 else "·" for c in text)
