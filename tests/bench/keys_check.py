# SPDX-License-Identifier: Apache-2.0
"""keys check over a large fleet: a catalogue of 1,000 volumes with 100 snapshots each, in a PostgreSQL of our own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))

from postgres import Server, find_programs  # noqa: E402  (needs the path above)

VOLUMES, SNAPSHOTS, KEYS = 1000, 100, 500

# Every snapshot has a primary slot under one key and a recovery slot under another; the last key is used by nothing.
FILL = f"""
insert into kek select k, 'vault', 'vault:kms/transit/backup#' || k, '' from generate_series(1, {KEYS}) k;
insert into volume (number, volume, host, path, default_key_id, registered_s, scanned_s, snapshots, needs, is_stable)
  select v, gen_random_uuid(), 'host' || v % 100, '/srv/backups/' || v, 'vault:kms/transit/backup#1',
  extract(epoch from now())::bigint, extract(epoch from now())::bigint, {SNAPSHOTS}, {2 * SNAPSHOTS}, 1
  from generate_series(1, {VOLUMES}) v;
insert into snapshot select v, s, gen_random_uuid(), 'snapshot-' || s, 0, 1, 0, 1, 1700000000 + s * 86400, 1700003600
  from generate_series(1, {VOLUMES}) v, generate_series(1, {SNAPSHOTS}) s;
insert into need select v, s, (v * 31 + s) % ({KEYS} - 2) + 1, 0, 1
  from generate_series(1, {VOLUMES}) v, generate_series(1, {SNAPSHOTS}) s;
insert into need select v, s, {KEYS} - 1, 2, 1
  from generate_series(1, {VOLUMES}) v, generate_series(1, {SNAPSHOTS}) s;
analyze;
"""


class Fleet:
    """The catalogue and a host that asks it."""

    def __init__(self, program):
        self.program = program
        self.root = Path(tempfile.mkdtemp(prefix="keys", dir="/tmp"))
        self.root.chmod(0o755)
        (self.root / "pg").mkdir()
        shutil.chown(self.root / "pg", "postgres", "postgres")
        self.server = Server(self.root / "pg", "data", find_programs())

    def __enter__(self):
        try:
            self.server.create()
            self.server.start()
            self.server.query("create database fleet")
            config = self.root / "c.conf"
            config.write_text(f"[global]\ncatalog = {self.server.url('fleet')}\ncatalog_scope = fleet\n")
            config.chmod(0o600)
            for name in ("state", "run"):
                (self.root / name).mkdir(mode=0o700)
            self.environment = {**os.environ, "SNAPCRYPT_CONFIG": str(config),
                                "SNAPCRYPT_STATE_DIR": str(self.root / "state"),
                                "SNAPCRYPT_RUNTIME_DIR": str(self.root / "run")}
            self.ask(0, "catalog", "list-volumes")
            self.server.run("psql", *self.server.connection(), "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", FILL, "fleet")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def ask(self, code, *arguments):
        done = subprocess.run([str(self.program), *arguments], env=self.environment, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=300)
        if done.returncode != code:
            raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}, not {code}\n{done.stderr}")
        return done.stdout


def keys_check(system, data, clock):
    """Answers of every kind; the machine's own volumes are none of them, so nothing but the catalogue is asked."""
    with Fleet(system.tools / "snapcrypt") as fleet:
        size = f"{VOLUMES} volumes x {SNAPSHOTS} snapshots in PostgreSQL"
        key = "vault:kms/transit/backup"
        with clock(f"keys check, not needed, {size}"):
            fleet.ask(0, "keys", "check", f"{key}#{KEYS}")
        with clock(f"keys check, needed by 200 snapshots, {size}"):
            found = fleet.ask(6, "keys", "check", f"{key}#7", "--json")
        with clock(f"keys check, recovery slot of all, {size}"):
            fleet.ask(0, "keys", "check", f"{key}#{KEYS - 1}", "--quiet")
        if found.count('"role": "primary"') < 200 or found.count('"doubt": null') != VOLUMES:
            raise RuntimeError("keys check did not look at everything")
