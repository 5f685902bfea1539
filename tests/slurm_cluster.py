"""A real Slurm of two nodes on this machine, of Debian's packages slurm-wlm and munge, until the block ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.warm_python import COLD

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
MessageTimeout=10
SchedulerParameters=sched_interval=2,batch_sched_delay=0
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """What is missing for a cluster here; empty where nothing is."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"SLURM IS NOT TESTED: no {', '.join(missing)} (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "SLURM IS NOT TESTED: its daemons want root"


PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Cluster:
    """The daemons, and what the user's programs need to find them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.environment = {**os.environ, COLD: "1", "SLURM_CONF": str(self.conf), "PATH": PATH}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"key-file": key, "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed",
                 "log-file": "munge.log"}  # fmt: skip
        self._daemon("munged", "--foreground", "--force", *(f"--{k}={self.folder / v}" for k, v in files.items()))
        ports = _free_ports(3)
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(
            f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i]} CPUs=1 State=UNKNOWN" for i in (1, 2)
        )
        self.conf.write_text(CONF.format(host=host, port=ports[0], folder=self.folder, nodes=nodes))
        self.until(lambda: (self.folder / "munge.socket").exists(), "munge")
        self._daemon("slurmctld", "-D", "-c", "-f", str(self.conf))
        for node in ("n1", "n2"):
            self.start_node(node)
        self.until(lambda: self("sinfo", "-h", "-o", "%T %D").split() == ["idle", "2"], "two idle nodes")

    def start_node(self, node: str) -> None:
        """Bring a node up."""
        self._daemon("slurmd", "-D", "-N", node, "-f", str(self.conf), name=node)

    def kill_node(self, node: str) -> None:
        """As if its power went: the daemon and every process of its jobs at once."""
        top = self.daemons.pop(node)
        own = [
            pid for pid in _pids()
            if _environ(pid, "SLURMD_NODENAME") == node and _environ(pid, "SLURM_CONF") == str(self.conf)
        ]  # fmt: skip
        steps = [parent for pid in own if _command(parent := _parent(pid)).startswith("slurmstepd")]
        for pid in {top.pid, *steps, *own}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        top.wait()

    def __call__(self, *command: str) -> str:
        """What one of Slurm's programs prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def _daemon(self, program: str, *arguments: str, name: str | None = None) -> None:
        with (self.folder / f"{name or program}.out").open("wb") as log:
            self.daemons[name or program] = subprocess.Popen(
                [str(shutil.which(program, path=PATH)), *arguments], env=self.environment, stdout=log, stderr=log
            )

    def until(self, done: Callable[[], bool], what: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{p.name}: {p.read_text()[-1500:]}" for p in self.folder.glob("*.[lo][ou][gt]"))
                now = self("squeue", "--array")
                raise AssertionError(f"no {what} after {seconds} s\n{now}\n{logs}")
            time.sleep(0.2)

    def stop(self) -> None:
        self("scancel", "--signal=KILL", "--me")
        for node in ("n1", "n2"):
            if node in self.daemons:
                self.kill_node(node)
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait()


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _environ(pid: int, name: str) -> str:
    with suppress(OSError):
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(f"{name}=".encode()):
                return word.partition(b"=")[2].decode()
    return ""


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Two nodes of one CPU each."""
    made = Cluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
