"""How, where, when and at what expense the records were made, and where a replicate is another version too."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd

from analysis.formatting import format_bytes, format_number, format_percent, format_seconds, join
from analysis.records import PROVENANCE, Row, Table, rows_of, short_source
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.report.rows.records import Axis, CommandRow, CommitRow, ConfoundedRow, CorpusRow, Provenance
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary
from analysis.study import Study

_CELL = ["group", "subset_bytes", "n_params", "n_steps"]  # one training; replicates differ in seeds alone
_REPLICATES: dict[Axis, Axis] = {
    "shuffle_seed": "seed",
    "seed": "shuffle_seed",
}  # an axis, and the one held fixed beside it


def _made(table: Table) -> pd.DataFrame:
    """git_commit, command and created of every record."""
    frames = [frame for frame in (table.runs, table.transfers) if len(frame)] or [table.runs]
    return pd.concat([frame[["git_commit", "command", "created"]] for frame in frames])


def _counted(made: pd.DataFrame, column: str) -> list[Row]:
    """What stands in a column of records, newest first, with how many there are; None: not recorded."""
    named = made.assign(created=made["created"].fillna("").astype(str), name=_known(made[column]))
    found = named.groupby("name", as_index=False).agg(n_records=("created", "size"), created=("created", "max"))
    rows = found.sort_values(["created", "name"], ascending=False, kind="stable").to_dict("records")
    return [{column: row["name"] or None, "n_records": row["n_records"], "created": row["created"]} for row in rows]


def _known(names: pd.Series[Any]) -> pd.Series[str]:
    """Nothing is a name too: a version that nobody can tell."""
    return names.fillna("").astype(str)


def confounded(runs: pd.DataFrame) -> list[ConfoundedRow]:
    """Per replicate axis, where most replicates are of several commits: axis, n_apart of n_replicated cells.

    A cell here is one training of one size on one dataset size; it is apart where its replicates along the axis are not
    all of one commit, so that their spread holds the change of version.
    """
    rows: list[ConfoundedRow] = []
    for axis, fixed in _REPLICATES.items():
        cells = runs.assign(commit=_known(runs["git_commit"])).groupby([*_CELL, fixed])
        values, commits = cells[axis].nunique(), cells["commit"].nunique()
        replicated = values > 1
        n_apart = int((replicated & (commits > 1)).sum())
        if 2 * n_apart > replicated.sum():
            rows.append({"axis": axis, "n_apart": n_apart, "n_replicated": int(replicated.sum())})
    return rows


def corpora(table: Table) -> list[CorpusRow]:
    """Every corpus with its hash and its split; of `mdl baselines` where no cell was trained.

    What records know of its copies is there where they know it: heldout_copied_bytes, deduplicated_bytes.
    """
    columns = ["corpus", "source", "corpus_bytes", "sha256", "block_bytes", "shuffle_seed", "train_bytes"]
    if len(table.runs) or (table.baselines.empty and table.transfers.empty):
        return _with_copies(table.runs, [*columns, "heldout_bytes"])
    others = pd.concat([table.baselines, table.transfers])  # of `mdl baselines`
    others = others.assign(corpus=others["source"].map(short_source))
    return cast(list[CorpusRow], rows_of(others[[*columns, "heldout_bytes"]].drop_duplicates("sha256")))


_COPIES = ("heldout_copied_bytes", "deduplicated_bytes")


def _with_copies(runs: pd.DataFrame, columns: list[str]) -> list[CorpusRow]:
    """The distinct rows, each with what any of its records tells of copies."""
    rows = rows_of(runs[columns].drop_duplicates())
    for name in _COPIES:
        known = rows_of(runs[runs[name].notna()].drop_duplicates(columns))
        n_bytes = {tuple(row[column] for column in columns): int(row[name]) for row in known}
        for row in rows:
            key = tuple(row[column] for column in columns)
            if key in n_bytes:
                row[name] = n_bytes[key]
    return cast(list[CorpusRow], rows)


def measured_provenance(table: Table) -> Provenance:
    """How, where and when; a cohort's seconds count once, and so does what several budgets share.

    Several commands: of a folder that no sweep wrote.
    """
    runs, transfers = table.runs, table.transfers
    shared = runs["shared_steps"] / runs["n_steps"].clip(lower=1)
    cohorts = runs.drop_duplicates(["cohort_id", "created", "training_seconds"])  # one may have trained in parts
    every = pd.concat([frame[[*PROVENANCE]] for frame in (cohorts, transfers) if len(frame)] or [runs[[*PROVENANCE]]])
    versions = sorted({f"{name} {version}" for own in every["versions"].dropna() for name, version in own.items()})

    made = _made(table)

    def values(column: str) -> list[Any]:
        return sorted({v for v in every[column] if pd.notna(v) and v != ""})

    commands = values("command")
    return {
        "command": table.manifest.get("command") or "; ".join(commands if len(transfers) else commands[:1]) or None,
        "created": max(values("created"), default=table.manifest.get("created")),
        "git_commits": values("git_commit"),
        "devices": values("device"),
        "hostnames": values("hostname"),
        "precisions": values("precision"),
        "n_threads": values("n_threads"),
        "versions": versions,
        "commits": cast(list[CommitRow], _counted(made, "git_commit")),
        "commands": cast(list[CommandRow], _counted(made, "command")),
        "confounded": confounded(runs),
        "n_cohorts": runs["cohort_id"].nunique(),
        "training_seconds": every["training_seconds"].sum() - every["shared_seconds"].sum(),
        "measuring_seconds": every["measuring_seconds"].sum(),
        "bytes_seen": int(runs["bytes_seen"].sum() - (runs["bytes_seen"] * shared).round().astype(int).sum()),
        "flops": runs["flops"].sum() - (runs["flops"] * shared).sum(),
    }


_AXES = {"shuffle_seed": "corpus seed", "seed": "training seed"}
_DIGITS = 12  # of a commit, where there are several: git finds it by fewer


def _commands(found: Provenance, unit: str) -> list[tuple[str, str]]:
    """A row per command, newest first, with how many records it made; `unit`: what one record is."""
    known = found["commands"]
    if not any(row["command"] for row in known):
        return [("command", found["command"] or "not recorded")]
    if len(known) == 1:
        return [("command", known[0]["command"] or "not recorded")]
    texts = [f"{row['command'] or 'not recorded'} ({_number(row['n_records'], unit)})" for row in known]
    return [("commands" if i == 0 else "", text) for i, text in enumerate(texts)]


def _commits(found: Provenance, unit: str) -> tuple[str, str]:
    """All commits, newest first; in full where there is one."""
    known = found["commits"]
    if not any(row["git_commit"] for row in known):
        return "commit", "not recorded"
    if len(known) == 1:
        return "commit", str(known[0]["git_commit"])
    text = join(f"{_short(row['git_commit'])} ({_number(row['n_records'], unit)})" for row in known)
    changed = any((row["git_commit"] or "").endswith("+") for row in known)
    return "commits", text + ("; + marks uncommitted changes" if changed else "")


def _number(n_records: int, unit: str) -> str:
    return f"{n_records} {unit}{'' if n_records == 1 else 's'}"


def _short(commit: str | None) -> str:
    if commit is None:
        return "unrecorded"
    return commit.removesuffix("+")[:_DIGITS] + ("+" if commit.endswith("+") else "")


def _one_sentence(found: Provenance) -> list[Block]:
    """One sentence where replicates are of several commits."""
    rows = found["confounded"]
    if not rows:
        return []
    where = join(f"{r['n_apart']} of {r['n_replicated']} cells with several {_AXES[r['axis']]}s" for r in rows)
    axes = ", ".join(_AXES[row["axis"]] for row in rows)
    text = (
        f"In {where}, the replicates were not all made by one commit. There, {axes} and version are confounded: the "
        "spread between replicates contains the effect of both."
    )
    return [Text(text)]


def write(summary: Summary) -> list[Block]:
    """How, where, when and at what expense the records were made."""
    p, unit = summary["provenance"], "cell" if summary["n_cells"] else "record"
    spent = f"{format_seconds(p['measuring_seconds'])} measuring"
    work = []
    if p["n_cohorts"]:
        trained = f"{format_seconds(p['training_seconds'])} training and {spent}"
        spent = f"{trained}, summed over {p['n_cohorts']} cohorts, also where they ran side by side"
        work = [("work", f"{format_bytes(p['bytes_seen'])} seen in training, {format_number(p['flops'])} FLOPs")]
    rows: list[tuple[str, str]] = [
        *_commands(p, unit),
        *(("corpus", text) for text in _corpus_rows(summary["corpora"], as_it_is=not summary["n_cells"])),
        _commits(p, unit),
        ("hardware", f"{join(p['devices']) or 'not recorded'}; host {join(p['hostnames']) or 'not recorded'}"),
        (
            "arithmetic",
            f"{join(p['precisions']) or 'not recorded'}; threads per process: {join(p['n_threads']) or '–'}",
        ),
        ("time", f"{spent}; newest record {p['created'] or 'not dated'}"),
        *work,
        ("versions", ", ".join(p["versions"]) or "not recorded"),
    ]
    return [Heading("Provenance"), Grid(("", ""), tuple(rows), "lw"), *_one_sentence(p)]


def _corpus_rows(corpora: list[CorpusRow], *, as_it_is: bool) -> list[str]:
    """One text per corpus, all its shuffles together; `as_it_is`: nothing was shuffled."""
    shuffles: dict[tuple[object, ...], list[CorpusRow]] = {}
    for corpus in corpora:
        if corpus["corpus_bytes"]:
            key = tuple(value for name, value in corpus.items() if name not in ("corpus", "shuffle_seed"))
            shuffles.setdefault(key, []).append(corpus)
    return [
        _in_order(own[0]) if as_it_is else _corpus(own[0], [corpus["shuffle_seed"] for corpus in own])
        for own in shuffles.values()
    ]


def _in_order(corpus: CorpusRow) -> str:
    return (
        f"{corpus['source']}, {corpus['corpus_bytes']:,} bytes, sha256 {corpus['sha256']}; in its own order, "
        f"{corpus['heldout_bytes']:,} bytes held out"
    )


def _corpus(corpus: CorpusRow, seeds: list[int]) -> str:
    return (
        f"{corpus['source']}, {corpus['corpus_bytes']:,} bytes, sha256 {corpus['sha256']}; blocks of "
        f"{corpus['block_bytes']:,} bytes shuffled with seed{'s' if len(seeds) > 1 else ''} {join(seeds)}; "
        f"{corpus['train_bytes']:,} bytes to train on, {corpus['heldout_bytes']:,} held out{_copies(corpus)}"
    )


def _copies(corpus: CorpusRow) -> str:
    """What is known of them, else nothing."""
    copied, left_out = corpus.get("heldout_copied_bytes"), corpus.get("deduplicated_bytes")
    said = ""
    if copied is not None and corpus["heldout_bytes"]:
        said = f", of which {format_percent(copied / corpus['heldout_bytes'])} also occur in the training part"
    return said + (f"; {left_out:,} bytes left out as copies" if left_out is not None else "")


def _measure(study: Study) -> dict[str, Any]:
    return {"corpora": corpora(study.table), "provenance": measured_provenance(study.table)}


register_section(WideSection(name="provenance", measure=_measure, write=write, tables=(CsvTable("corpora"),)))
