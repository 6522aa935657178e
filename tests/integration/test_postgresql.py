# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL: base backup into the mount, WAL streamed into it, restored from a read-only mount."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from postgres import Server, find_programs

pytestmark = [pytest.mark.serial, pytest.mark.timeout(900)]

QUERY = ("select count(*), sum(hashtext(t::text)) from accounts t "
         "union all select count(*), sum(hashtext(t::text)) from documents t order by 1")


@pytest.fixture
def postgresql(sandbox):
    programs = find_programs()
    root = sandbox.directory("pg")
    sandbox.root.chmod(0o755)
    shutil.chown(root, "postgres", "postgres")
    servers = []

    def make(name):
        servers.append(Server(root, name, programs))
        return servers[-1]
    yield make
    for server in servers:
        server.stop()


def fill(server):
    server.query("create table accounts as select g as id, md5(g::text) as name, g * 7 as balance "
                 "from generate_series(1, 60000) g; create index on accounts(name);"
                 "create table documents as select g as id, repeat(md5(g::text), 60) as body "
                 "from generate_series(1, 3000) g")


def receive_wal(server, target):
    """pg_receivewal running as root, as an archiver would on a backup host; ended when the caller has switched WAL."""
    return subprocess.Popen([str(server.programs / "pg_receivewal"), *map(str, server.connection()),
                             "-D", str(target), "--synchronous", "--no-loop"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_base_backup_and_wal_come_back(sandbox, volume, postgresql):
    server = postgresql("data")
    server.create()
    server.start()
    with volume.mount() as mount:
        (mount.path / "wal").mkdir()
        receiver = receive_wal(server, mount.path / "wal")
        try:
            fill(server)
            subprocess.run([str(server.programs / "pg_basebackup"), *map(str, server.connection()),
                            "-D", str(mount.path / "base"), "-X", "stream", "-c", "fast"], check=True, timeout=240)
            for _ in range(3):
                server.query("update accounts set balance = balance + 1; select pg_switch_wal()")
            last = server.query("select pg_walfile_name(pg_switch_wal())")
            wait_for_file(mount.path / "wal" / last, receiver)
        finally:
            receiver.send_signal(signal.SIGINT)
            output = receiver.communicate(timeout=60)[0]
        compare_segments(server, mount.path / "wal", output)
        expected = None
    with volume.mount("ro") as mount:
        verified = server.run("pg_verifybackup", mount.path / "base") if can_read(mount) else None
        if verified is None:
            verified = subprocess.run([str(server.programs / "pg_verifybackup"), str(mount.path / "base")],
                                      check=True, text=True, capture_output=True).stdout
        assert "successfully verified" in verified
        compare_segments(server, mount.path / "wal", b"")
        restored = postgresql("restored")
        subprocess.run(["cp", "-a", f"{mount.path}/base", str(restored.data)], check=True)
    subprocess.run(["chown", "-R", "postgres:postgres", str(restored.data)], check=True)
    restored.data.chmod(0o700)
    expected = base_backup_answer(server)
    restored.start()
    assert restored.query(QUERY) == expected


def base_backup_answer(server):
    """What the query said at the time of the base backup: the updates since then added 3 to every balance."""
    server.query("update accounts set balance = balance - 3")
    return server.query(QUERY)


def can_read(mount):
    """May the user postgres look into the mount?  Its parents must be open for that."""
    return subprocess.run(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "test", "-r",
                           str(mount.path / "base" / "PG_VERSION")], check=False).returncode == 0


def wait_for_file(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{path.name} did not arrive"
        time.sleep(0.1)


def compare_segments(server, target, output):
    """Every complete segment that was received equals the server's."""
    compared = 0
    for segment in sorted(os.listdir(target)):
        original = server.data / "pg_wal" / segment
        if segment.endswith(".partial") or not original.exists():
            continue
        assert (target / segment).read_bytes() == original.read_bytes(), segment
        compared += 1
    assert compared >= 2, f"{os.listdir(target)}: {output!r}"
