# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL clusters of our own, from Debian's packages."""

import signal
import socket
import subprocess
import time
from pathlib import Path


def find_programs():
    """The directory with initdb and postgres."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    assert programs, "PostgreSQL is not installed; scripts/test installs it"
    return programs[-1].parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A PostgreSQL cluster of our own, run as the user postgres, ended by pid."""

    def __init__(self, root, name, programs):
        self.root, self.data, self.programs = root, root / name, programs
        self.port, self.process = free_port(), None
        self.log = root / f"{name}.log"

    def run(self, program, *arguments, **options):
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                   str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=240, cwd="/", **options)
        assert done.returncode == 0, f"{program}: {done.stdout}"
        return done.stdout

    def create(self):
        self.run("initdb", "-D", self.data, "-A", "trust", "--data-checksums", "-U", "postgres", "-E", "UTF8")
        with open(self.data / "postgresql.conf", "a") as settings:
            settings.write("wal_level=replica\nmax_wal_senders=4\nwal_keep_size=1GB\nfsync=off\nshared_buffers=32MB\n")
        with open(self.data / "pg_hba.conf", "a") as access:
            access.write("local replication all trust\n")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", str(self.programs / "postgres"),
                 "-D", str(self.data), "-p", str(self.port), "-k", str(self.root), "-c", "listen_addresses="],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 60
        while subprocess.run([str(self.programs / "pg_isready"), "-q", "-h", str(self.root), "-p", str(self.port)],
                             check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.1)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def connection(self):
        return ["-h", self.root, "-p", self.port, "-U", "postgres"]

    def query(self, sql):
        return self.run("psql", *self.connection(), "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres").strip()

    def url(self, database):
        """For programs that take one, through the cluster's own socket."""
        return f"postgresql://postgres@/{database}?host={self.root}&port={self.port}"
