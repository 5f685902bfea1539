"""`mdl sweep --backend wandb`: W&B's server hands out the cells, agents anywhere run them with `mdl run`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mdl.errors import MdlError, Terminated
from mdl.sweeps.backends.local import gpu_places
from mdl.sweeps.backends.registry import Request, register_backend
from mdl.sweeps.distributions import NUMBERS, as_number
from mdl.sweeps.manifest import open_corpora, write_manifest
from mdl.sweeps.sweep_file import OURS, check_out, load_sweep, option_of

_PROJECT = "mdl"


def under_agent() -> bool:
    """Whether a W&B agent started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def register_sweep(file: Path, out: Path) -> str:
    """Make the sweep known to W&B; `entity/project/id` as `wandb agent` takes it. MdlError where that cannot be."""
    sweep = load_sweep(file)
    check_out(sweep, out)
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        raise MdlError(
            "a W&B sweep needs W&B's server: unset WANDB_MODE and run 'wandb login', or leave out --backend wandb"
        )
    import wandb
    from wandb.errors import Error

    config = {key: value for key, value in sweep.content.items() if key not in OURS}
    config |= {"name": sweep.name, "method": sweep.method, "parameters": _as_numbers(config["parameters"])}
    config["command"] = command_of(config, sweep.name, out)
    project = config.get("project") or os.environ.get("WANDB_PROJECT", _PROJECT)
    entity = config.get("entity") or os.environ.get("WANDB_ENTITY")
    try:
        name = wandb.sweep(config, project=project, entity=entity)
    except (Error, OSError, ValueError) as error:
        raise MdlError(f"W&B did not take the sweep: {' '.join(str(error).split())[:300]}; try 'wandb login'") from None
    return "/".join(part for part in (entity, project, name) if part)


def _as_numbers(parameters: dict[str, Any]) -> dict[str, Any]:
    """W&B would be given `min: 1e-3` as the word that YAML takes it for."""
    return {
        key: _as_numbers(value) if isinstance(value, dict) else as_number(value) if key in NUMBERS else value
        for key, value in parameters.items()
    }


def command_of(config: dict[str, Any], name: str, out: Path) -> list[str]:
    """The file's own command, or `mdl run`; the run folder is named where it is not the usual one."""
    command = list(config.get("command") or ["${env}", "mdl", "run", "--sweep", name, "${args_no_hyphens}"])
    if "run" not in command:
        return command
    for options, value, usual in ((("--runs", "--out"), str(out), "runs"), (("--sweep",), name, "single")):
        if value != usual and all(option_of(command, option) is None for option in options):
            at = command.index("run") + 1
            command[at:at] = [options[0], value]
    return command


def run_agents(sweep: str, places: Sequence[dict[str, str]]) -> int:
    """An agent a place (what its environment adds), until W&B has no more to do; the worst exit status."""
    agents = [
        subprocess.Popen([sys.executable, "-m", "wandb", "agent", sweep], env={**os.environ, **place})
        for place in places
    ]
    try:
        return max(agent.wait() for agent in agents)
    except KeyboardInterrupt as stop:
        for agent in agents:
            if isinstance(stop, Terminated):  # a Ctrl-C they had too, and wait for their cells
                agent.terminate()
        for agent in agents:
            agent.wait()
        raise


@dataclass(frozen=True)
class WandbOptions:
    """How many agents are started here; None: one per GPU, or one."""

    workers: Annotated[int, Field(ge=1)] | None = None


class WandbBackend:
    """W&B's server hands out the cells; agents here, and anywhere else, make them."""

    options = WandbOptions

    def run(self, request: Request, options: WandbOptions) -> None:
        """Register the sweep and run agents here until W&B has no more to do; MdlError where one fails."""
        if request.file is None:
            raise MdlError("W&B hands out the cells of a sweep file: run 'mdl sweep FILE --backend wandb'")
        sweep_file = load_sweep(request.file)
        if sweep_file.method == "grid" and not sweep_file.run_cap:  # else W&B alone knows what will be run
            plan = request.plan
            write_manifest(plan, open_corpora(plan, request.console).values(), request.command, whole=True)
        sweep = register_sweep(request.file, request.runs)
        print(f"more agents, anywhere: wandb agent {shlex.quote(sweep)}", flush=True)
        status = run_agents(sweep, gpu_places()[: options.workers] or [{}] * (options.workers or 1))
        if status:
            raise MdlError(f"an agent ended with status {status}; see above")

    def preview(self, request: Request, options: WandbOptions) -> str:
        """The plan says it all."""
        return ""

    def incarnation(self) -> None:
        """Agents ask for other cells when they are started again."""


register_backend("wandb", WandbBackend())
