"""An interpreter that hands its command on: see `warm_python`, which writes this file and a call of `main` as a script.

It starts in 20 ms, so it imports nothing of the checkout and no pathlib.
"""
# ruff: noqa: PTH109, PTH110, PTH123

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time

_RELAYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(settings: dict) -> None:  # type: ignore[type-arg]
    """Be the plain interpreter, or stand for a process of the server's until it ends, and end as it does."""
    if not _is_warm(settings, sys.argv[1:]):
        os.execv(settings["python"], [settings["python"], *sys.argv[1:]])  # noqa: S606
    server = _connected(settings)
    _ask(server)
    for number in _RELAYED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
    status = server.recv(16)
    if not status:
        sys.exit("the server of warm processes has ended")
    if (code := int(status)) < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_warm(settings: dict, words: list[str]) -> bool:  # type: ignore[type-arg]
    """Whether a forked process is as good as a new one."""
    if len(words) < 2 or words[0] != "-m" or words[1] not in settings["modules"] or os.environ.get(settings["cold"]):
        return False
    return {k: v for k, v in os.environ.items() if k.startswith(settings["prefixes"])} == settings["watched"]


def _connected(settings: dict) -> socket.socket:  # type: ignore[type-arg]
    """To the server, which the first to come starts."""
    path = settings["socket"]
    with open(f"{path}.lock", "w") as lock, open(f"{path}.log", "a+") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            command = [settings["python"], "-m", "tests.warm_python", path, str(settings["owner"])]
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            process = subprocess.Popen(command, cwd=settings["root"], start_new_session=True, **streams)
            while not os.path.exists(path):
                if process.poll() is not None:
                    log.seek(0)
                    sys.exit(log.read())
                time.sleep(0.02)
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    return server


def _ask(server: socket.socket) -> None:
    umask = os.umask(0)
    os.umask(umask)
    asked = {"module": sys.argv[2], "words": sys.argv[3:], "executable": sys.argv[0], "folder": os.getcwd()}
    data = json.dumps(asked | {"environment": dict(os.environ), "umask": umask}).encode()
    socket.send_fds(server, [len(data).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(data)
