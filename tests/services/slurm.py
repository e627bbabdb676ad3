"""A real Slurm for tests: munged, MariaDB, slurmdbd, slurmctld and slurmd, on loopback, with accounts of its own.

All of it, and the programs that the agents run, live in a mount namespace with a copy of /etc: accounts that are made there
are real to every program inside, and the machine itself never sees them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import attrs

START_SECONDS = 60.0

PROGRAMS = (
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sacctmgr",
    "unshare",
    "nsenter",
)


def obstacle():
    """Why this machine cannot run it, or None."""
    if missing := [each for each in PROGRAMS if shutil.which(each) is None]:
        return f"these programs are missing: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "only root may make accounts and mount namespaces"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return "this machine forbids mount namespaces"
    return None


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(what, done, process=None):
    deadline = time.monotonic() + START_SECONDS
    while not done():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} has ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} is not up after {START_SECONDS:g} s")
        time.sleep(0.1)


@attrs.define(eq=False)
class Cluster:
    """A running Slurm with one node.

    Attributes:
        directory: Where everything of it is.
        inside: The words before a program that shall run in its namespace.
    """

    directory: Path
    inside: list
    processes: list

    def run(self, *words, check=True, **options):
        """Run a program in the namespace and return its output."""
        done = subprocess.run(
            [*self.inside, *words], capture_output=True, text=True, check=False, timeout=60, **options
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    @classmethod
    @contextlib.contextmanager
    def started(cls):
        """Start everything, and stop it at the end."""
        directory = Path(tempfile.mkdtemp(prefix="slurm-"))
        directory.chmod(0o755)
        cluster = cls(directory, [], [])
        try:
            cluster._start()
            yield cluster
        finally:
            for process in reversed(cluster.processes):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            shutil.rmtree(directory, ignore_errors=True)

    def _spawn(self, *words):
        with (self.directory / f"{Path(words[0]).name}.log").open("w") as log:
            process = subprocess.Popen([*self.inside, *words], stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def _start(self):
        where = self.directory
        ports = {name: _free_port() for name in ("sql", "dbd", "ctl", "node")}
        etc = where / "etc"
        subprocess.run(["cp", "-a", "/etc", str(etc)], check=True)
        for name in ("sql", "state", "spool", "srv", "munge", "home", "run/munge"):
            (where / name).mkdir(parents=True)
        (etc / "slurm").mkdir(exist_ok=True)
        host = socket.gethostname().split(".")[0]
        munge = where / "run" / "munge" / "munge.socket.2"
        common = "AuthType=auth/munge\nSlurmUser=root\n"
        dbd = etc / "slurm" / "slurmdbd.conf"
        dbd.write_text(
            f"{common}DbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={ports['dbd']}\nPidFile={where}/dbd.pid\n"
            f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={ports['sql']}\n"
            f"StorageUser=slurm\nStoragePass=slurm\nStorageLoc=slurm\nLogFile={where}/dbd.log\n"
        )
        dbd.chmod(0o600)
        (etc / "slurm" / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (etc / "slurm" / "slurm.conf").write_text(
            f"{common}SlurmdUser=root\nClusterName=linux\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={ports['ctl']}\n"
            f"SlurmdPort={ports['node']}\nSlurmctldPidFile={where}/ctl.pid\nSlurmdPidFile={where}/node.pid\n"
            f"StateSaveLocation={where}/state\nSlurmdSpoolDir={where}/spool\nSlurmctldLogFile={where}/ctl.log\n"
            f"SlurmdLogFile={where}/node.log\nMpiDefault=none\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
            "SelectType=select/cons_tres\nJobAcctGatherType=jobacct_gather/none\nReturnToService=2\nSwitchType=switch/none\n"
            f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
            f"AccountingStoragePort={ports['dbd']}\nAccountingStorageEnforce=associations,limits\n"
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs=1 RealMemory=100 State=UNKNOWN\n"
            f"PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
        )
        mounts = f"mount --bind {etc} /etc && mount --bind {where}/run /run && exec sleep infinity"
        holder = self._spawn("unshare", "-m", "sh", "-c", mounts)
        _wait(
            "the namespace",
            lambda: Path(f"/proc/{holder.pid}/cmdline").read_bytes().startswith(b"sleep"),
            holder,
        )
        self.inside = ["nsenter", "-t", str(holder.pid), "-m"]
        (where / "munge" / "key").write_bytes(os.urandom(128))
        (where / "munge" / "key").chmod(0o600)
        munged = self._spawn(
            "munged", "-F", "--force", f"--key-file={where}/munge/key",
            f"--pid-file={where}/munge/pid", f"--seed-file={where}/munge/seed", f"--log-file={where}/munge/log",
        )  # fmt: skip
        _wait("munged", munge.exists, munged)
        sql = where / "sql"
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={sql}",
            "--user=root",
            "--auth-root-authentication-method=normal",
        )
        server = self._spawn(
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={sql}", f"--socket={where}/sql.sock",
            "--bind-address=127.0.0.1", f"--port={ports['sql']}", f"--pid-file={where}/sql.pid",
            "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        _wait("mariadbd", (where / "sql.sock").exists, server)
        self.run("mariadb", "--no-defaults", f"--socket={where}/sql.sock", "-e",
                 "CREATE DATABASE slurm; CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm';"
                 "CREATE USER slurm@localhost IDENTIFIED BY 'slurm'; GRANT ALL ON slurm.* TO slurm@localhost;"
                 "GRANT ALL ON slurm.* TO slurm@'127.0.0.1'")  # fmt: skip
        dbd_process = self._spawn("slurmdbd", "-D")
        _wait("slurmdbd", lambda: self._answers("sacctmgr", "--noheader", "show", "stats"), dbd_process)
        self.run("sacctmgr", "--immediate", "add", "cluster", "linux")
        ctl = self._spawn("slurmctld", "-D")
        _wait("slurmctld", lambda: "UP" in self.run("scontrol", "ping", check=False), ctl)
        node = self._spawn("slurmd", "-D")
        _wait("slurmd", lambda: "idle" in self.run("sinfo", "-h", "-o", "%T", check=False), node)

    def _answers(self, *words):
        return (
            subprocess.run([*self.inside, *words], capture_output=True, check=False, timeout=60).returncode
            == 0
        )
