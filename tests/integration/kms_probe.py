# SPDX-License-Identifier: Apache-2.0
"""Driving one key service through tests/tools/kms_probe: no volume, no mount.

    with KmsProbe("awskms:///alias/x?region=R", environment, section="prod", ca_file=...) as probe:
        slot = probe.ask("wrap")
        assert probe.ask("unwrap", slot)["secret_sha256"] == slot["secret_sha256"]
"""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent",
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def program():
    binary = Path(os.environ.get("SNAPCRYPT_BINARY", ROOT / "build" / "dev-gcc" / "snapcrypt"))
    return binary.parent / "kms_probe"


class KmsProbe:
    """One process; its provider keeps connections, credentials and clock offset between commands."""

    def __init__(self, uri, environment=None, section=None, **settings):
        self.environment = {**BASE, **(environment or {})}
        if section:
            self.environment["KMS_PROBE_SECTION"] = section
        arguments = [f"{name}={value}" for name, value in settings.items()]
        self.output = ""
        self.process = subprocess.Popen([program(), uri, *arguments], env=self.environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.opened = self._read()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        code = self.process.wait(30)
        if kind is None:
            assert not errors, errors
            assert code == 0

    def _read(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.output += line
        return json.loads(line)

    def send(self, command, slot=None):
        """Without waiting for the outcome: receive()."""
        if slot is not None:
            fields = [slot["key_id"], slot["wrapped"], slot.get("key_alias", ""),
                      slot.get("access", {}).get("principal", "")]
            command += " " + ",".join(fields)
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    receive = _read

    def ask(self, command, slot=None):
        self.send(command, slot)
        return self._read()

    def ok(self, command, slot=None):
        """The same; it must succeed."""
        reply = self.ask(command, slot)
        assert reply["code"] == 0, reply
        return reply
