"""All of speed in one command: python -m benchmarks. With the name of a part that part: python -m benchmarks fits."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPTS = ("speed_archive.py", "fits.py")


def start_up() -> str:
    """CPU seconds of `mdl --help`, imports and all."""
    script = "import resource, subprocess, sys; subprocess.run([sys.executable, '-m', 'mdl.cli', '--help'], stdout=-3);"
    script += "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime)"
    runs = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout) for _ in "123"
    ]
    return f"mdl --help: {min(runs):.2f} CPU-s"


def main() -> None:
    """Everything, in a process each, so that no part warms or burdens another."""
    from benchmarks import machine  # of torch, which not every part needs

    print(f"# {time.strftime('%Y-%m-%d')}, {machine.name()}, {machine.versions()}\n", flush=True)
    for module in ("speed_training", "speed_evaluation", "speed_coder", "speed_copies", "memory"):
        subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
        print(flush=True)
    on_gpu = machine.device().type == "cuda"
    extra = {"speed_archive.py": ["128x4", "1024", "16000000", "cuda"] if on_gpu else []}
    for name in _SCRIPTS:
        subprocess.run([sys.executable, str(_HERE / name), *extra.get(name, [])], check=True)
    print(start_up())


if __name__ == "__main__":
    if sys.argv[1:]:
        del sys.argv[0]
        importlib.import_module(f"benchmarks.{sys.argv[0]}").main()
    else:
        main()
