"""Any model measured from Python: a function of windows, or a torch module, and the records that a report takes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdl.compressors import coders_for
from mdl.data import Corpus, open_whole
from mdl.errors import MdlError
from mdl.evaluation.classical import BaselineJob, run_baseline
from mdl.evaluation.own_models import evaluate_own
from mdl.evaluation.pretrained import EvaluationSettings
from mdl.evaluation.recording import subset_sizes
from mdl.models import Predictor, is_module
from mdl.pretrained import OwnModel, as_predictor, hash_files
from mdl.records import CellRecord, RunPaths
from mdl.storage import Progress
from mdl.units import counted, format_bytes, whole_number

if TYPE_CHECKING:
    import numpy.typing as npt

    from mdl.models import Predict, Predicts, Returns


@dataclass(frozen=True)
class Measurement(Sequence[CellRecord]):
    """What a model makes of the first D bytes of a corpus: a record for each D, ascending.

    Parameters
    ----------
    folder
        The run folder that the records lie in, for `analysis.load` and `mdl report`.
    records
        One for each D.

    Attributes
    ----------
    code_bits
        Length of the code of the first D bytes, bits, by D; parameters cost extra.
    bits_per_byte
        The same divided by D, by D.

    Examples
    --------
    >>> _ = Path("my.txt").write_bytes(b"to be or not to be" * 100)
    >>> uniform = lambda windows: np.full((*windows.shape, 256), 1 / 256)
    >>> options = {"n_params": 1, "sizes": ["1KB"], "baselines": False}
    >>> found = mdl.measure(uniform, "my.txt", name="uniform", **options)
    >>> found
    Measurement(uniform, 1 parameter: 8.0000 bits per byte of 1 KB)
    >>> found.code_bits
    {1000: 8000.0}
    """

    folder: Path
    records: tuple[CellRecord, ...]

    @property
    def code_bits(self) -> dict[int, float]:
        """Length of the code of the first D bytes, bits, by D; parameters cost extra."""
        return {r.subset_bytes: sum(s.code_bits for s in r.snapshots[0].segments) for r in self.records}

    @property
    def bits_per_byte(self) -> dict[int, float]:
        """The same divided by D."""
        return {D: bits / D for D, bits in self.code_bits.items()}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: Any) -> Any:
        return self.records[place]

    def __repr__(self) -> str:
        about = self.records[0].model
        rates = ", ".join(f"{bits:.4f} bits per byte of {format_bytes(D)}" for D, bits in self.bits_per_byte.items())
        return f"Measurement({about.size}, {counted(about.n_params, 'parameter')}: {rates})"


def measure(
    predict: Predict | Predictor | Any,
    corpus: str | Path,
    *,
    n_params: int | None = None,
    sizes: Sequence[str | int] | str | int | None = None,
    name: str | None = None,
    predicts: Predicts | None = None,
    first: npt.ArrayLike | None = None,
    returns: Returns | None = None,
    context: int | None = None,
    stride: int | None = None,
    batch: int | None = None,
    files: Sequence[str | Path] = (),
    baselines: bool = True,
    out: str | Path = "runs/measure",
    progress: Progress | None = None,
) -> Measurement:
    """Measure any byte model on any data: its code length in bits, as records beside those of the classical coders.

    Before anything is measured the model is tried: the same windows must give the same rows, and row t may not change
    with byte t, with a later byte, or with another window of the batch.

    Parameters
    ----------
    predict
        A function from windows, a NumPy array (B, T) of int64 in 0 … 255, to rows (B, T, 256) of floating-point numbers
        of NumPy, PyTorch or JAX: row t is the distribution of byte t of the window given the bytes before it, as
        probabilities or their natural logarithms. Or a torch.nn.Module that returns logits or these logarithms, run in
        eval mode where it lies; or a `mdl.Predictor`.
    corpus
        A path, or any corpus by name, such as `file:my.txt`: its bytes in their own order, from the first.
    n_params
        N, the number of parameters. A module's are counted, with persistent buffers, each storage once.
    sizes
        Dataset sizes D, such as ["1MB", "3MB"]: the first so many bytes; None: all.
    name
        What the model is called; None: the name of the function or of the module's class.
    predicts
        "this" (row t is of byte t), or "next" (row t is of byte t + 1, as most language models have it): then rows are
        shifted by one. None: what the module's attribute `predicts` says, else "this".
    first
        With "next", what codes the first byte of each window: (256,) probabilities; None: uniform, 8 bits.
    returns
        "auto" (probabilities or natural log-probabilities, told by their sums), "probabilities", "log_probabilities" or
        "logits". None: what the module's attribute `returns` says, else "logits" of a module (log-probabilities do as
        well) and "auto" of a function.
    context
        T, bytes a window; None: the model's `context_bytes` where it has such, at most 2,048.
    stride
        Bytes from a window to the next, from which on they are coded; None: the context, no overlap.
    batch
        Windows a call, B; None: some 32,768 bytes a call.
    files
        The files that hold the weights; their bytes are what a model costs under `--cost file`.
    baselines
        Run the classical coders on the same bytes too?
    out
        The run folder that the records go to.
    progress
        Called with the model's name, the bytes coded and the bytes in all.

    Returns
    -------
    Measurement
        A sequence of records, one for each D, with `code_bits` and `bits_per_byte` by D, and `folder`.

    Raises
    ------
    MdlError
        In one line: rows of a wrong shape, vocabulary or dtype, NaN, rows that do not sum to 1, probability 0 where a
        byte stands, a model that sees what it may not (naming the position), a corpus that is missing or too small.

    Examples
    --------
    >>> _ = Path("my.txt").write_bytes(b"to be or not to be" * 100)
    >>> def repeats(windows):                    # the byte of 18 places before, nearly always
    ...     rows = np.full((*windows.shape, 256), 0.1 / 255)
    ...     np.put_along_axis(rows[:, 18:], windows[:, :-18, None], 0.9, -1)
    ...     rows[:, :18] = 1 / 256
    ...     return rows
    >>> mdl.measure(repeats, "my.txt", n_params=2, baselines=False).bits_per_byte
    {1800: 0.23...}
    >>> mdl.measure(lambda windows: np.eye(256)[windows], "my.txt", n_params=1)
    Traceback (most recent call last):
    mdl.errors.MdlError: lambda: row 1,024 changes with byte 1,024 of its window, ...
    """
    model = _own_model(predict, name, n_params, files, {"predicts": predicts, "first": first, "returns": returns})
    opened, paths = open_whole(str(corpus), progress), RunPaths(Path(out))
    subsets = subset_sizes(opened, sizes, "sizes")
    settings = EvaluationSettings(
        context=_whole("context", context), stride=_whole("stride", stride), batch=_whole("batch", batch), dtype="own"
    )
    command = f"mdl.measure({model.name})"
    try:
        records = evaluate_own(model, opened, subsets, paths, settings, command=command, progress=progress)
    except SystemExit as error:
        if type(error) is not SystemExit:  # but a request to stop, which is none of the model's
            raise
        raise MdlError(f"{model.name} calls sys.exit({error.code!r}); raise an error, or return") from error
    if baselines:
        beside(opened, subsets, paths)
    return Measurement(Path(out), tuple(records))


def _whole(name: str, value: Any) -> int | None:
    """How many, or None where that is left open; MdlError for what is no whole number of at least 0."""
    return None if value is None else whole_number(name, value, least=int(name == "batch"))


def beside(corpus: Corpus, subsets: Sequence[int], paths: RunPaths) -> None:
    """The records of the classical coders on the same bytes: those on disk, else new ones."""
    for size, coder in itertools.product(subsets, coders_for(corpus.info.modality)):
        run_baseline(corpus, BaselineJob(coder=coder, subset_bytes=size, order="contiguous", chunk_bytes=None), paths)


def _own_model(
    predict: Any, name: str | None, n_params: int | None, files: Sequence[str | Path], told: dict[str, Any]
) -> OwnModel:
    known = {key: value for key, value in told.items() if value is not None}
    if not (isinstance(predict, Predictor) or is_module(predict)):
        if n_params is None:
            raise MdlError("n_params is not given; say how many parameters the function has, such as n_params=48_000")
        predictor = Predictor(predict, n_params=n_params, **known)
    else:
        own = as_predictor(predict, "predict")
        predictor = replace(own, n_params=own.n_params if n_params is None else n_params, **known)
    found = name or getattr(predict, "__name__", None) or type(predict).__name__
    listed = [files] if isinstance(files, str | Path) else files
    sha256, n_bytes = hash_files("mdl.measure", [Path(file).expanduser() for file in listed])
    return OwnModel(spec=_file_name(found), predictor=predictor, files_sha256=sha256, file_bytes=n_bytes)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "model"
