"""`mdl.size`: the same as `mdl size`, for notebooks and scripts."""

from __future__ import annotations

from pathlib import Path

from mdl.sizing.answer import Answer
from mdl.sizing.question import ask, find_size
from mdl.sweeps import python_console


def size(
    source: str | Path,
    *,
    budget: str | float = "5min",
    within: float = 1.25,
    cost: str = "float16",
    runs: str | Path = "runs",
    name: str | None = None,
    workers: int | None = None,
    architecture: str = "transformer",
) -> Answer:
    """How big a model do these data pay for? Trains models of several sizes until it can tell, or the time is up.

    Parameters
    ----------
    source
        A path (a file of any bytes, a folder, a table of rows, an archive), or any corpus as a sweep file names it.
    budget
        How long it may take, the report left out: seconds, or words such as "90s", "10min", "1h".
    within
        Sure enough: the interval's upper end over its lower one.
    cost
        What a parameter costs, by name or as a number of bytes.
    runs
        Folder of all run folders.
    name
        Of the run folder; None: after the file. Called again, the search goes on with the records there.
    workers
        Processes at once; None: up to three per GPU, or one per core.
    architecture
        What is trained: "transformer", "mingru", or one of your own that was registered.

    Returns
    -------
    Answer
        `.n_params`, `.interval`, `.study`, `.report()`.

    Raises
    ------
    MdlError
        In one line, for data that are not there or too few, and times that are none.

    Examples
    --------
    >>> mdl.size("nowhere.txt")
    Traceback (most recent call last):
    mdl.errors.MdlError: no file or folder at nowhere.txt; check the path
    """
    asked = ask(
        str(source),
        budget=budget,
        within=within,
        cost=str(cost),
        runs=Path(runs),
        name=name,
        workers=workers,
        architecture=architecture,
    )
    return find_size(asked, python_console(), f"mdl.size({str(source)!r}, budget={budget!r})")
