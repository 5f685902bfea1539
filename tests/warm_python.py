"""A Python that starts at once: for the commands of tests a process is forked that has imported everything.

A command of `mdl` spends 2 to 8 CPU-seconds on imports (torch, pytorch_lightning …), and tests start hundreds. Each is
still a process of its own, with its own folder, environment, streams, signals and exit status; only the imports are
shared. `sys.executable` of tests, and of the processes that they start, is a small script (`warm_client.py`) that asks
for such a process and stands for it: what signals it gets go on to it, and it does not outlive the script. Whatever
else than `-m` and a module of `MODULES` is asked for is the plain interpreter; so is everything where MDL_COLD_START is
set, as in tests that look at processes from outside, and in `.ci/run --full`.

`python -m tests.warm_python SOCKET OWNER` serves until the process OWNER ends.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from tests import ROOT

COLD = "MDL_COLD_START"
MODULES = ("mdl.cli", "mdl.sweeps.worker")
_IMPORTS = (
    "torch", "pytorch_lightning", "pytorch_lightning.loggers", "pandas", "scipy.optimize", "scipy.stats", "seaborn",
    "matplotlib.pyplot", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg", "rich.progress",
    "brotli", "zstandard", "pyppmd", "constriction", "safetensors.torch", "typst", "yaml", "pyarrow.dataset",
    "concurrent.futures.process",
)  # fmt: skip
# What libraries read when they are imported, or an interpreter when it starts: with another value a start is cold.
_READ_AT_START = ("PYTHON", "OMP_", "MKL_", "OPENBLAS_", "TORCH_", "TRITON_", "CUDA", "MPL", "LD_", "LC_", "LANG")


def install(folder: Path) -> str:
    """The path of a script in `folder` that is called as an interpreter is; its server starts when it is first called.

    The server ends with this process. The plain interpreter's path where the system cannot do it.
    """
    if os.environ.get(COLD) or not hasattr(os, "pidfd_open"):
        return sys.executable
    settings = {"python": sys.executable, "socket": str(folder / "socket"), "owner": os.getpid(), "modules": MODULES}
    settings |= {"root": str(ROOT), "cold": COLD, "watched": read_at_start(os.environ), "prefixes": _READ_AT_START}
    client = Path(__file__).with_name("warm_client.py").read_text()
    script = folder / "python"
    script.write_text(f"#!{sys.executable} -IS\n{client}\n\nmain({settings!r})\n")
    script.chmod(0o755)
    return str(script)


def read_at_start(environment: Any) -> dict[str, str]:
    """Those variables of an environment that a process reads only as it starts."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


def _serve(path: str, owner: int) -> dict[str, Any]:
    """Fork for whoever connects; return, in a forked process alone, what was asked of it."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path + ".new")
    listening.listen(64)
    Path(path + ".new").rename(path)
    ending = os.pidfd_open(owner)
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    selector.register(ending, selectors.EVENT_READ)
    children: dict[int, tuple[socket.socket, int]] = {}  # pid → whom it was forked for, and its pidfd
    while True:
        for key, _ in selector.select():
            if key.fileobj == ending:
                sys.exit()
            if key.fileobj is listening:
                client, _ = listening.accept()
                asked = _read(client)
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    for other in (listening, client, *(sock for sock, _ in children.values())):
                        other.close()
                    return asked
                for fd in asked["fds"]:
                    os.close(fd)
                children[pid] = client, os.pidfd_open(pid)
                selector.register(client, selectors.EVENT_READ, pid)
                selector.register(children[pid][1], selectors.EVENT_READ, pid)
            elif isinstance(key.fileobj, socket.socket):
                _relay(selector, key.fileobj, key.data)
            else:
                _end(selector, *children.pop(key.data), key.data)


def _read(client: socket.socket) -> dict[str, Any]:
    """Folder, words, environment and streams of the process that is wanted."""
    head, fds, _, _ = socket.recv_fds(client, 8, 3)
    left, parts = int.from_bytes(head, "big"), []
    while left:
        parts.append(client.recv(min(left, 1 << 16)))
        left -= len(parts[-1])
    return {**json.loads(b"".join(parts)), "fds": fds}


def _relay(selector: selectors.BaseSelector, client: socket.socket, pid: int) -> None:
    """Signals of the script; its end, however it came about, is the process's end."""
    with contextlib.suppress(ConnectionError):
        if data := client.recv(16):
            for number in data:
                os.kill(pid, number)
            return
    selector.unregister(client)
    os.kill(pid, signal.SIGKILL)


def _end(selector: selectors.BaseSelector, client: socket.socket, pidfd: int, pid: int) -> None:
    selector.unregister(pidfd)
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError, KeyError, ValueError):
        selector.unregister(client)
    with contextlib.suppress(OSError):
        client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    client.close()


def _become(asked: dict[str, Any]) -> None:
    """Be the process that was asked for."""
    for target, fd in enumerate(asked["fds"]):
        os.dup2(fd, target)
        os.close(fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    sys.path[0] = asked["folder"]
    sys.argv[1:] = asked["words"]
    sys.executable = asked["executable"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os._exit(_run(asked["module"]))


def _run(module: str) -> int:
    """The module as a program, with what an interpreter does at its end but for taking itself apart; its status."""
    status: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return status or 0


def _import_all() -> None:
    """The libraries, and every module of ours that is no program and no kernel."""
    for name in _IMPORTS:
        importlib.import_module(name)
    for package in ("mdl", "analysis"):
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not name.endswith((".__main__", ".companion", ".worker")) and ".kernels" not in name:
                importlib.import_module(name)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    gc.collect()
    gc.freeze()  # forked processes then share its pages for longer
    _become(_serve(sys.argv[1], int(sys.argv[2])))
