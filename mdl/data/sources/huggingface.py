"""A column of a Hugging Face data set, byte for byte: rows are documents, joined with nothing between them.

Tables by path are read by `rows`; the library reads what it saved itself, folders laid out for it, and the hub.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdl.data.sources.base import Source, became, cached
from mdl.data.sources.file_listing import is_here
from mdl.data.sources.registry import register_source
from mdl.data.sources.rows import open_tables
from mdl.errors import MdlError, nearest
from mdl.storage import Progress, digest
from mdl.units import counted

log = logging.getLogger(__name__)
_SETTINGS = ("config", "split", "column")
_USUAL_COLUMNS = ("text", "content", "bytes")


def open_hugging_face(rest: str, cache: Path, progress: Progress | None = None) -> Source:
    """NAME_OR_PATH[,config=…][,split=…][,column=…]: a folder of save_to_disk, tables, or a name on the hub.

    Default: split train, the column called text, content or bytes, else the first of text or binary type. Text is
    coded as UTF-8. MdlError in one line where it cannot be had.
    """
    name, *settings = rest.split(",")
    options = dict(setting.partition("=")[::2] for setting in settings)
    for key in options:
        if key not in _SETTINGS:
            raise MdlError(f"hf:{rest}: unknown setting '{key}'{nearest(key, _SETTINGS)}")
    place = Path(name).expanduser()
    if is_here(name) and not place.is_dir():
        return open_tables(name, options.get("column"), cache, progress, first_of_several=True)
    rows = _load(name, options.get("split", "train"), options.get("config"), cache)
    column = _column(name, rows, options.get("column"))
    modality = "text" if "string" in rows.features[column].dtype else "bytes"
    fingerprint = digest([name, options, rows._fingerprint])
    content = cached(
        cache, f"hf-{fingerprint}", lambda: _documents(name, rows.select_columns([column]), column), modality
    )
    return became(content, f"column '{column}' of {counted(content.starts.size, 'row')}", "a row a document")


def _column(name: str, rows: Any, wanted: str | None) -> str:
    """The column to code, which must hold text or binary values."""
    columns = list(rows.column_names)
    if wanted and wanted not in columns:
        raise MdlError(f"hf:{name} has no column '{wanted}'{nearest(wanted, columns)} (it has {', '.join(columns)})")
    types = {column: getattr(rows.features[column], "dtype", "nested") for column in columns}
    coded = [c for c in columns if types[c] in ("string", "large_string", "binary", "large_binary")]
    if wanted and wanted not in coded:
        raise MdlError(f"hf:{name}: column '{wanted}' holds {types[wanted]}, not text or binary values; name another")
    if not coded:
        raise MdlError(f"hf:{name} has no column of text or binary values (it has {types})")
    usual = next((column for column in _USUAL_COLUMNS if column in coded), None)
    if not (wanted or usual) and len(coded) > 1:
        log.warning(
            "hf:%s: column '%s' is coded, the first of %s; column=… names another", name, coded[0], ", ".join(coded)
        )
    return wanted or usual or coded[0]


def _documents(name: str, rows: Any, column: str) -> Iterator[list[bytes]]:
    """What the library raises while it reads is told like what it raises when it opens."""
    try:
        for batch in rows.iter(batch_size=1000):
            for value in batch[column]:
                if value is not None:
                    yield [value.encode() if isinstance(value, str) else value]
    except Exception as error:  # dozens of kinds
        raise MdlError(f"cannot read column '{column}' of data set hf:{name}: {_first_line(error)}") from None


def _load(name: str, split: str, config: str | None, cache: Path) -> Any:
    """A datasets.Dataset (the library ships no types)."""
    import datasets

    local = Path(name).expanduser()
    if not local.exists():
        _ask_the_hub(name)
    had_bars = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if (local / "state.json").exists():
            return datasets.load_from_disk(str(local))
        if (local / "dataset_dict.json").exists():
            return _split(name, datasets.load_from_disk(str(local)), split)
        made = str(cache / "datasets")
        return datasets.load_dataset(str(local) if local.exists() else name, config, split=split, cache_dir=made)
    except MdlError:
        raise
    except Exception as error:  # datasets raises dozens of kinds; the user needs the first line of what it says
        raise MdlError(f"cannot load data set hf:{name} (split {split}): {_first_line(error)}") from None
    finally:
        if had_bars:
            datasets.enable_progress_bars()


def _ask_the_hub(name: str) -> None:
    """One short question: without a network `datasets` itself tries for half a minute before it says so."""
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return  # then it looks at once, and only, in what was downloaded before
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=10)
    except Exception as error:
        raise MdlError(
            f"hf:{name} is neither a path here nor a data set that the hub shows ({_first_line(error)}); "
            "HF_HUB_OFFLINE=1 uses what was downloaded before"
        ) from None


def _first_line(error: BaseException) -> str:
    """Of the first cause: what the library says last is that something went wrong."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _split(name: str, splits: Any, split: str) -> Any:
    if split not in splits:
        raise MdlError(f"hf:{name} has no split '{split}'{nearest(split, splits)} (it has {', '.join(splits)})")
    return splits[split]


register_source("hf", open_hugging_face, form="hf:NAME", modality="text", needs_network=True)
