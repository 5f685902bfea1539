"""A model of anyone's: a function from windows of bytes to the distribution of every byte in them.

It may be written with PyTorch, JAX, NumPy or a C library; only arrays pass. Whether it keeps to its word, that it looks
back alone, `no_peeking` tries out.

Shape letters: B windows, T bytes of a window.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError, quoted
from mdl.models.distribution_rows import Bytes, Floats, Nats, Predict, Returns, answer, first_nats, log_probabilities
from mdl.units import whole_number

Predicts = Literal["this", "next"]


@dataclass(frozen=True)
class Predictor:
    """A byte model as a function, with what has to be known of it.

    Parameters
    ----------
    predict
        From windows, a NumPy array (B, T) of int64, to rows (B, T, 256), an array of NumPy, PyTorch or JAX: row t is
        the distribution of byte t of the window given the bytes before it, so that row 0 sees nothing.
    n_params
        N, the number of parameters, at least 1.
    predicts
        "next" where row t is the distribution of byte t + 1 given the bytes up to t, as most language models have it:
        rows are then shifted by one, and the first byte of a window is coded by `first`.
    first
        That distribution: (256,) probabilities, all above 0; None: uniform, 8 bits.
    returns
        "probabilities", "log_probabilities" (natural) or "logits"; "auto" tells the first two by their sums.
    context_bytes
        The longest window that it takes; None: any.

    Raises
    ------
    MdlError
        For what is out of range, in one line.

    Examples
    --------
    >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
    >>> order_0.nats(np.array([[104, 105]])).shape
    (1, 2, 256)
    """

    predict: Predict
    _: KW_ONLY
    n_params: int
    predicts: Predicts = "this"
    first: npt.ArrayLike | None = None
    returns: Returns = "auto"
    context_bytes: int | None = None

    def __post_init__(self) -> None:
        """MdlError for what is out of range."""
        if not callable(self.predict):
            raise MdlError(f"predict is {quoted(self.predict)}; give a function of windows (B, T)")
        if isinstance(self.n_params, bool) or not isinstance(self.n_params, int | np.integer) or self.n_params < 1:
            raise MdlError(
                f"n_params is {quoted(self.n_params)}; give the number of parameters, a whole number from 1 on"
            )
        for name, value, known in (("predicts", self.predicts, Predicts), ("returns", self.returns, Returns)):
            if value not in known.__args__:  # type: ignore[attr-defined]
                raise MdlError(f"{name} is {quoted(value)}; want {' or '.join(map(repr, known.__args__))}")  # type: ignore[attr-defined]
        if self.context_bytes is not None:
            whole_number("context_bytes", self.context_bytes, least=2)
        if self.first is not None:
            if self.predicts == "this":
                raise MdlError("first is for predicts='next'; row 0 of a model that predicts this byte is its own")
            first_nats(self.first)

    def nats(self, windows: npt.ArrayLike, places: npt.NDArray[np.int64] | None = None) -> Nats:
        """What the model says of every byte of windows, given the bytes before it.

        Parameters
        ----------
        windows
            Bytes 0 to 255 as integers, (B, T).
        places
            Places of a window, (B, K), whose bytes alone are asked for, which is faster; None: all.

        Returns
        -------
        numpy.ndarray
            Natural log-probabilities, (B, T, 256) in float64, with `places` (B, K, 256): row t is the distribution of
            byte t, whose probabilities sum to 1 within 1e-5.

        Raises
        ------
        MdlError
            Where what `predict` returns is no distribution, naming window and row.

        Examples
        --------
        >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
        >>> float(order_0.nats([[104, 105]]).max().round(3))
        -5.545
        """
        given = np.array(windows, np.int64)  # a copy: it may write into what it is given
        of = None if places is None else np.maximum(places - (self.predicts == "next"), 0)
        rows, dtype = answer(self.predict, given, of)
        try:
            found = log_probabilities(rows, dtype, self.returns)
        except MdlError:
            if places is not None:
                self.nats(windows)  # which names the row
            raise
        if self.predicts == "next":
            if places is None:
                found, places = np.roll(found, 1, 1), np.broadcast_to(np.arange(given.shape[1]), given.shape)
            found[places == 0] = first_nats(self.first)
        return found

    def dtype(self, windows: Bytes) -> str:
        """The type of number in which its rows come.

        Parameters
        ----------
        windows
            Bytes 0 to 255 as integers, (B, T).

        Returns
        -------
        str
            Such as "float32".

        Raises
        ------
        MdlError
            Where what `predict` returns is no array (B, T, 256).

        Examples
        --------
        >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
        >>> order_0.dtype(np.array([[104, 105]]))
        'float64'
        """
        return answer(self.predict, windows.copy())[1]

    def bits(
        self, windows: Bytes, starts: npt.NDArray[np.int64] | None = None, context_bytes: int | None = None
    ) -> Floats:
        """What every byte of windows costs.

        Parameters
        ----------
        windows
            Bytes 0 to 255 as integers, (B, T).
        starts
            Where each window begins in the data, (B,): an error then names the byte's place there.
        context_bytes
            The model sees windows filled up with zeros to so many bytes, at least T: what follows changes nothing.

        Returns
        -------
        numpy.ndarray
            −log2 p in bits, (B, T), at least 0.

        Raises
        ------
        MdlError
            Where a byte has probability 0, or what `predict` returns is no distribution.

        Examples
        --------
        >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
        >>> order_0.bits(np.array([[104, 105]]))
        array([[8., 8.]])
        """
        n_missing = max(0, (context_bytes or 0) - windows.shape[1])
        rows = self.nats(np.pad(windows, ((0, 0), (0, n_missing))))[:, : windows.shape[1]]
        nats = np.take_along_axis(rows, windows[..., None], -1)[..., 0]
        if not np.isfinite(nats).all():
            b, t = np.argwhere(~np.isfinite(nats))[0].tolist()
            at = t + (int(starts[b]) if starts is not None else 0)
            raise MdlError(
                f"byte {at:,} (value {windows[b, t]}) has probability 0, so no code of it is finite; "
                "leave every byte some probability"
            )
        bits: Floats = -nats / np.log(2)
        return bits
