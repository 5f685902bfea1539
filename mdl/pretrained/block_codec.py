"""A block of tokens to a coded stream and back, with a pretrained model: `mdl.archives.block_codec` for any vocabulary.

A block is some windows of T tokens, coded each by itself but in one stream, time-major, so that the decoder steps all
windows in lockstep. The encoder reads the windows many tokens a call, the decoder one; the guard band makes up for the
difference, which is measured on the data itself before anything is promised.

Shape letters: B windows, T tokens of a window, V vocabulary.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mdl.archives import CodedLanes, time_major
from mdl.entropy import Grid, Guard, StreamEncoder, guard_list, guided_grid, large_vocabulary
from mdl.errors import MdlError
from mdl.pretrained.archive_format import Coded
from mdl.pretrained.float64 import Reader, read_through, read_whole
from mdl.pretrained.model import Pretrained
from mdl.pretrained.token_code import Ids, Progress

_MARGIN = 1000.0  # of the guard band over the difference measured
_PARTS_MARGIN = 10.0  # of several tokens a call over all of them, or one: rounding is all that they may differ by
_LEAST_EPSILON = 2.0**-33  # for differences of up to 1e-13: a probe is short
_PROBE_WINDOWS, _PROBE_TOKENS = 2, 64  # a step of a large model takes as long as many tokens at once
_PART_TOKENS = 5  # a call: does the model go on from what it kept?
_MOST_OVERHEAD = 0.05  # of the code: what the guard list and the rounding may take
_LOGITS_BYTES = 2**26  # of one call, on a CPU; the tables take some times as much


def windows_of(ids: Ids, context_tokens: int) -> npt.NDArray[np.int64]:
    """Windows (B, T), the last one filled up with zeros: what follows a token does not change its probability."""
    length = min(ids.size, context_tokens)
    padded = np.zeros(-(-ids.size // length) * length, np.int64)
    padded[: ids.size] = ids
    return padded.reshape(-1, length)


def probe(model: Pretrained, ids: Ids, context_tokens: int) -> tuple[Grid, bool]:
    """The grid for this model, from its first tokens, and whether it goes on from what it kept only a token a call.

    MdlError where no grid allows exact decoding at a fair price. State-space models begin anew in a call of several
    tokens: what they made of those would not be what the decoder's steps make.
    """
    V, spec = model.n_vocabulary, model.checkpoint.spec
    if not 2 <= V <= large_vocabulary.MOST_SYMBOLS:
        raise MdlError(f"{spec} has {V:,} logits; files are coded with 2 to {large_vocabulary.MOST_SYMBOLS:,}")
    rows = windows_of(ids, context_tokens)[: max(1, min(_PROBE_WINDOWS, ids.size // context_tokens)), :_PROBE_TOKENS]
    at_once = read_whole(model, rows).reshape(-1, V)
    in_parts, by_steps = (
        torch.cat([logits for _, logits in read_through(model, rows, n)], 1).reshape(-1, V) for n in (_PART_TOKENS, 1)
    )
    difference, of_parts = (float((own - by_steps).abs().max()) for own in (at_once, in_parts))
    # By how much one that begins anew differs is a matter of its weights: it may be little, and is more than rounding.
    goes_on = of_parts <= _PARTS_MARGIN * max(difference, _LEAST_EPSILON / _MARGIN)
    difference = max(difference, of_parts) if goes_on else difference
    if difference <= large_vocabulary.WIDEST / _MARGIN:  # which a NaN is not
        n_relevant = large_vocabulary.n_relevant(at_once)
        grid = large_vocabulary.choose_grid(max(_LEAST_EPSILON, _MARGIN * difference), n_relevant, V)
        symbols = torch.from_numpy(rows).reshape(-1).to(at_once.device)
        width = large_vocabulary.intervals(large_vocabulary.place(at_once, grid)[0], symbols, grid)[1]
        code_bits = float((24 - width.double().log2()).mean())
        if sum(grid.overhead_bits(n_relevant, V)) <= _MOST_OVERHEAD * max(1.0, code_bits):
            return grid, not goes_on
    raise MdlError(
        f"{spec} is not stable enough to be decoded elsewhere: two ways of computing its logits differ by "
        f"{difference:.1g}, and a list of what that leaves open would take over {_MOST_OVERHEAD:.0%} of the file; "
        "it can be measured (mdl evaluate)"
    )


@dataclass(frozen=True, kw_only=True)
class BlockCodec:
    """Writes and reads the blocks of one model, in windows of T tokens and the tables of one grid."""

    model: Pretrained
    context_tokens: int  # T
    grid: Grid
    windows_at_once: int | None = None  # that a call takes; None: encoding by memory, decoding all
    by_steps: bool = False  # encoding too, a call takes one token of a window, as `probe` may ask for

    def encode(self, ids: Ids, progress: Progress | None = None) -> Coded:
        """Code `ids` (n,) > 0 tokens."""
        windows, V = windows_of(ids, self.context_tokens), self.model.n_vocabulary
        left, width = np.empty(windows.shape, np.int64), np.empty(windows.shape, np.int64)
        step = self.windows_at_once or max(1, _LOGITS_BYTES // (windows.shape[1] * V * 8))
        listed = []
        for i in range(0, len(windows), step):
            listed.append(self._place_windows(windows, slice(i, i + step), (left, width)))
            if progress:
                progress(min(windows[i : i + step].size, ids.size - i * windows.shape[1]))
        encoder, order = StreamEncoder(), time_major(ids.size, windows.shape[1])
        encoder.write_intervals(left.reshape(-1)[order], width.reshape(-1)[order])
        packed = guard_list.pack(_in_order(listed, ids.size * V))
        return Coded(n_tokens=ids.size, stream=encoder.finish(), guard=packed, crc32=_crc32(ids))

    def _place_windows(
        self,
        windows: npt.NDArray[np.int64],
        rows: slice,
        intervals: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    ) -> Guard:
        """Fill in the intervals of the windows `rows`; their guard list as position · V + token."""
        tokens, V = windows[rows], self.model.n_vocabulary
        a_call = 1 if self.by_steps else max(1, _LOGITS_BYTES // (len(tokens) * V * 8))
        listed = []
        for span, logits in read_through(self.model, tokens, a_call):
            s = logits.shape[1]
            nearest, index, up = large_vocabulary.place(logits.reshape(-1, V), self.grid)
            symbols = torch.from_numpy(tokens[:, span]).reshape(-1).to(logits.device)
            for stored, new in zip(intervals, large_vocabulary.intervals(nearest, symbols, self.grid), strict=True):
                stored[rows, span] = new.reshape(-1, s).cpu().numpy()
            place, token = np.divmod(index.cpu().numpy(), V)
            row, t = np.divmod(place, s)
            position = (rows.start + row) * windows.shape[1] + span.start + t
            listed.append(Guard(position * V + token, up.cpu().numpy()))
        return _in_order(listed, windows.size * V)

    def decode(self, block: Coded, progress: Progress | None = None) -> Ids:
        """Its tokens (n,); MdlError where the checksum is wrong."""
        length, V = min(block.n_tokens, self.context_tokens), self.model.n_vocabulary
        out = np.zeros((-(-block.n_tokens // length), length), np.int64)
        lane = CodedLanes(block.n_tokens, block.stream, block.guard, length, V)
        reader, device = Reader(self.model, len(out), self.windows_at_once), self.model.model.device
        for t in range(length):
            logits = reader.feed(out[:, t - 1 : t]) if t else reader.first()
            n, places = lane.n_active(t), lane.guard_at(t)
            index, up = torch.from_numpy(places.index).to(device), torch.from_numpy(places.up).to(device)
            nearest = guided_grid(logits[:n, 0], index, up, self.grid.step)
            out[:n, t] = lane.decoder.read_symbols(large_vocabulary.counts(nearest, self.grid).cpu().numpy())
            if progress:
                progress(n)
        ids = out.reshape(-1)[: block.n_tokens].astype(np.int32)
        if _crc32(ids) != block.crc32:
            raise MdlError(
                "the decoded tokens do not have the checksum of the original: the archive is forged, or this machine "
                "computes too differently; no output was written"
            )
        return ids


def _in_order(listed: list[Guard], limit: int) -> Guard:
    """One list, ascending, of the places below `limit`: the others lie in what fills up the last window."""
    index, up = np.concatenate([guard.index for guard in listed]), np.concatenate([guard.up for guard in listed])
    order = np.argsort(index)
    order = order[index[order] < limit]
    return Guard(index[order], up[order])


def _crc32(ids: Ids) -> int:
    return zlib.crc32(ids.astype("<i4").tobytes())
