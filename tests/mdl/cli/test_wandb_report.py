"""`mdl report --wandb` with the real library: against the stand-in server, offline, without a key, without it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from mdl.records import RunPaths, wandb_place
from tests.command import assert_one_line, mdl
from tests.mdl.sweeps.test_agents import environment
from tests.mdl.training.test_loggers import inspect
from tests.synthetic import grid, write_sweep
from tests.wandb_server import serve

SIZES, SUBSETS = ["4x1", "8x1", "16x2", "32x2", "64x2", "64x4"], [300_000, 1_000_000]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep of known rates whose file named the project `paid`."""
    made = write_sweep(tmp_path / "runs/known", grid(SIZES, SUBSETS))
    manifest = json.loads((made / "sweep.json").read_text())
    (made / "sweep.json").write_text(json.dumps(manifest | {"wandb": {"project": "paid"}}))
    return made


@pytest.mark.slow
def test_a_report_is_a_wandb_run_with_tables_figures_files_and_critical_sizes(folder: Path, tmp_path: Path) -> None:
    with serve() as server:
        done = subprocess.run(
            [sys.executable, "-m", "mdl.cli", "report", "--wandb", "--format", "pdf", "--format", "md"],
            cwd=tmp_path, env=environment(server.url, "online"), capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (sent,) = server.summaries()
        uploads, used, (bucket, *_) = dict(server.uploads), server.used, server.buckets
    assert (bucket["project"], bucket["groupName"], bucket["jobType"]) == ("paid", "synthetic", "report")
    summary = json.loads((tmp_path / "runs/known/report/summary.json").read_text())
    for row, at in zip(summary["critical"], ("300KB", "1MB"), strict=True):
        assert sent[f"{at}/critical_size"] == pytest.approx(row["n_params"])
        assert sent[f"{at}/adjusted_rate"] == pytest.approx(row["adjusted_rate"])
    for name in ("summary.json", "critical_size.csv", "report.pdf", "report.md"):
        assert uploads[name] == (tmp_path / "runs/known/report" / name).read_bytes(), name
    html = [name for name in uploads if name.startswith("media/html/figures/adjusted_rate")]
    assert html, sorted(uploads)
    assert b"<svg" in uploads[html[0]]
    panel = next(json.loads(c) for n, c in uploads.items() if n.startswith("media/table/adjusted_rate_table"))
    lines = {key: [] for _, key, _ in panel["data"]}
    for _, key, rate in panel["data"]:
        lines[key].append(rate)
    assert set(lines) == {"300 KB", "1 MB", "N*"}
    assert lines["N*"] == pytest.approx([100 * row["adjusted_rate"] for row in summary["critical"]])
    assert all(min(lines[name]) >= star - 0.5 for name, star in zip(("300 KB", "1 MB"), lines["N*"], strict=True))
    assert [name for _, name in used] == [f"corpus-{summary['corpora'][0]['sha256'][:16]}"]
    (table,) = (json.loads(content) for name, content in uploads.items() if name.startswith("media/table/critical"))
    column = table["columns"].index("n_params")
    assert [row[column] for row in table["data"]] == pytest.approx([row["n_params"] for row in summary["critical"]])


@pytest.mark.slow
def test_offline_the_run_is_kept_beside_the_records_and_no_key_is_one_line(folder: Path, tmp_path: Path) -> None:
    done = mdl("report", "--wandb", cwd=tmp_path, WANDB_MODE="offline", WANDB_API_KEY="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "W&B: wandb sync" in done.stdout
    (run,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    figures = inspect(run, "summary")["summary"]
    assert isinstance(figures, dict)
    assert figures["300KB/critical_size"] > 0
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none"), "WANDB_MODE": "online", "WANDB_API_KEY": ""}
    home["MPLCONFIGDIR"] = matplotlib.get_cachedir()  # in a new home matplotlib looks for fonts, and says so after 5 s
    assert_one_line(mdl("report", "--wandb", cwd=tmp_path, **home), "try 'wandb login'")


@pytest.mark.slow
def test_what_is_kept_is_the_report_of_now_and_a_single_critical_size_is_a_line_that_can_be_seen(
    tmp_path: Path,
) -> None:
    """In a folder whose name a pattern would read otherwise, and without a warning for every file."""
    write_sweep(tmp_path / "runs/known", grid(SIZES, [300_000]))
    words = ("report", "runs/known", "--wandb", "--format", "md", "--out", "mine [1]")
    done = mdl(*words, cwd=tmp_path, WANDB_MODE="offline", WANDB_API_KEY="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING Symlinked" not in done.stdout + done.stderr
    (kept,) = (tmp_path / "runs/known/wandb").glob("offline-run-*/files")
    for name in ("summary.json", "critical_size.csv", "report.md"):
        assert not (kept / name).is_symlink()
        assert (kept / name).read_bytes() == (tmp_path / "mine [1]" / name).read_bytes()
    (panel,) = kept.glob("media/table/adjusted_rate_table*")
    marked = [(n, rate) for n, key, rate in json.loads(panel.read_text())["data"] if key == "N*"]
    (row,) = json.loads((kept / "summary.json").read_text())["critical"]
    assert [n for n, _ in marked] == pytest.approx([math.log10(row["n_params"])] * 2)
    assert marked[0][1] == pytest.approx(100 * row["adjusted_rate"])
    assert marked[1][1] > marked[0][1] + 1


def test_the_environments_project_comes_first_then_the_sweeps_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    assert wandb_place(RunPaths(folder)) == {"project": "paid"}
    assert wandb_place(RunPaths(tmp_path / "none")) == {"project": "mdl"}
    monkeypatch.setenv("WANDB_PROJECT", "agents")
    assert wandb_place(RunPaths(folder)) == {"project": "agents"}


def test_without_wandb_it_is_one_line(folder: Path, tmp_path: Path) -> None:
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'wandb' else f(n, *a)"
    words = [sys.executable, "-c", f"{hide}; from mdl.cli import main; main()", "report", "--wandb"]
    assert_one_line(
        subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60), "pip install wandb"
    )
    assert not (tmp_path / "reports").exists()
