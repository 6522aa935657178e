# SPDX-License-Identifier: Apache-2.0
"""What the operator decides about keys that say no or nothing: on_revoke, unreachable_grace, rotation_age, event_command.

Against our own fake of AWS KMS.
"""

import json
import os
import stat
import time

import pytest

from aws_keys import FAST, create, keys_of, outcome, read, state, status, until
from schema import check


@pytest.fixture
def aws(sandbox, authority, tmp_path):
    sandbox.allow("key")
    with keys_of(authority, tmp_path, sandbox) as keys:
        yield keys
    assert not keys.fake.complaints


@pytest.fixture
def key(aws):
    return aws.add("one")


@pytest.fixture
def volume(sandbox, key):
    """With snapshot "a"."""
    volume = sandbox.init("--key", key.uri)
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"a" * 100_000)
    return volume


class Recorder:
    """An event_command that keeps what it got, and how it was run."""

    def __init__(self, sandbox, body=""):
        self.lines, self.how = sandbox.root / "events", sandbox.root / "how"
        self.program = sandbox.root / "on event"
        self.program.write_text(f'#!/bin/bash\n{body}\nenv > "{self.how}"\nprintf "%s\\n" "$@" >> "{self.how}"\n'
                                f'ls /proc/self/fd >> "{self.how}"\ncat >> "{self.lines}"\n')
        self.program.chmod(0o755)
        self.command = f"'{self.program}' first '; touch {sandbox.root}/shell' $HOME"

    def events(self):
        if not self.lines.exists():
            return []
        return [check(json.loads(line)) for line in self.lines.read_text().splitlines()]

    def names(self):
        return [event["event"] for event in self.events()]


@pytest.fixture
def recorder(sandbox, aws):
    recorder = Recorder(sandbox)
    aws.configure(event_command=recorder.command)
    return recorder


def is_withdrawn(mount, key):
    return status(mount)[1][key.key.arn]["withdrawn"]


def test_readonly_lets_what_is_open_be_read(aws, key, volume):
    aws.configure(on_revoke="readonly")
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        reader = os.open(path, os.O_RDONLY)
        writer = os.open(mount.path / "a" / "log", os.O_WRONLY | os.O_CREAT)
        os.write(writer, b"acknowledged")
        key.disable()
        failures = set()

        def is_refused():
            failures.add(read(path))
            failures.add(os.pread(reader, 1, 0))
            return outcome(os.write, writer, b"+") == "EKEYREVOKED"
        until(is_refused, "writing is refused")
        until(lambda: is_withdrawn(mount, key), "status says it", 3)
        assert outcome(os.close, writer) == "EKEYREVOKED"
        assert failures == {b"a"}    # reading never failed
        assert path.read_bytes() == b"a" * 100_000 and sorted(os.listdir(mount.path / "a")) == ["file", "log"]
        assert (mount.path / "a" / "log").read_bytes().startswith(b"acknowledged")
        assert create(mount.path / "a" / "new") == outcome(os.mkdir, mount.path / "a" / "d") == "EKEYREVOKED"
        assert outcome(os.unlink, path) == outcome(os.truncate, path, 0) == "EKEYREVOKED"
        assert outcome(os.rename, path, mount.path / "a" / "x") == outcome(os.mkdir, mount.path / "b") == "EKEYREVOKED"
        key.restore()
        until(lambda: create(mount.path / "a" / "new") == "", "service returns")
        assert os.pread(reader, 1, 0) == b"a"
        os.close(reader)


def test_prevent_new_stops_new_snapshots_only(aws, key, volume):
    aws.configure(on_revoke="prevent_new")
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        assert read(path) == b"a"
        key.disable()
        until(lambda: is_withdrawn(mount, key), "it is noticed")
        assert outcome(os.mkdir, mount.path / "b") == "EKEYREVOKED"    # and there was a spare
        assert path.read_bytes() == b"a" * 100_000
        (mount.path / "a" / "new").write_bytes(b"+")
        key.restore()
        until(lambda: outcome(os.mkdir, mount.path / "b") == "", "service returns")


def test_spares_are_wiped_and_made_again(aws, key, volume):
    with volume.mount(*FAST) as mount:
        made = aws.fake.count("GenerateDataKey")
        key.disable()
        until(lambda: is_withdrawn(mount, key), "it is noticed")
        assert outcome(os.mkdir, mount.path / "b") == "EKEYREVOKED" and os.listdir(mount.path) == ["a"]
        key.restore()
        until(lambda: aws.fake.count("GenerateDataKey") > made, "a spare is made")
        until(lambda: state(mount, key) == "enabled", "status says it")
        time.sleep(0.5)
        key.silence()
        assert outcome(os.mkdir, mount.path / "b") == ""


def test_grace_bounds_how_long_silence_is_served(aws, key, volume, recorder):
    aws.configure(unreachable_grace="3s")
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        assert read(path) == b"a"
        key.silence()
        until(lambda: state(mount, key) == "unreachable", "it is noticed")
        noticed = time.monotonic()
        assert not is_withdrawn(mount, key) and read(path) == b"a"
        until(lambda: read(path) == "EHOSTUNREACH", "the grace is over")
        assert 1.5 < time.monotonic() - noticed < 3 + 4
        about, keys = status(mount)
        assert about["state"] == "revoked" and keys[key.key.arn]["state"] == "unreachable"
        assert about["key_policy"] == {"on_revoke": "block", "poll_s": 1, "unreachable_grace_s": 3,
                                       "rotation_age_s": 90 * 86400}
        assert outcome(os.mkdir, mount.path / "b") == "EHOSTUNREACH"
        key.restore()
        until(lambda: read(path) == b"a", "service returns")
        until(lambda: recorder.names() == ["unreachable", "revoked", "recovered"], "events come")
    # It is no answer of the key, so it is not remembered.
    assert "unreachable" not in (aws.sandbox.state / "keys.json").read_text()


def test_events_reach_the_program(sandbox, aws, key, volume, recorder):
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        assert read(path) == b"a"
        assert status(mount)[0]["event_command"] is True
        for what in (key.disable, key.deny, key.expire, key.silence):
            what()
            until(lambda: state(mount, key) != "enabled", "it is noticed")
            key.restore()
            until(lambda: state(mount, key) == "enabled", "service returns")
        expected = [name for event in ("revoked", "denied", "credentials-expired", "unreachable")
                    for name in (event, "recovered")]
        until(lambda: recorder.names() == expected, f"{expected}, not {recorder.names()}")
        about = json.loads(sandbox.run("volume", "show", volume.backing, "--json").stdout)
        first = recorder.events()[0]
        assert first["key_id"] == key.key.arn and first["state"] == "disabled" and first["volume"] == about["volume"]
        assert first["mountpoint"] == str(mount.path) and first["backing"] == str(volume.backing)
        assert "aws kms enable-key" in first["advice"] and first["data_keys"] >= 1
    how = recorder.how.read_text()
    environment = {line.partition("=")[0] for line in how.splitlines() if "=" in line}
    assert {"PATH", "LANG", "SNAPCRYPT_EVENT"} <= environment <= {"PATH", "LANG", "SNAPCRYPT_EVENT", "PWD", "SHLVL", "_"}
    assert f"first\n; touch {sandbox.root}/shell\n$HOME\n" in how and not (sandbox.root / "shell").exists()
    assert how.split("$HOME\n")[1].split() == ["0", "1", "2", "3"]    # 3: the listing's own
    assert key.user.secret not in how + recorder.lines.read_text()


def test_a_program_that_hangs_holds_up_nobody(sandbox, aws, key, volume):
    sandbox.allow("event_command: killed")
    pid_file = sandbox.root / "pid"
    recorder = Recorder(sandbox, f'sleep 1000 & echo $! > "{pid_file}"; wait')
    aws.configure(event_command=recorder.command)
    mount = volume.mount(*FAST)
    path = mount.path / "a" / "file"
    assert read(path) == b"a"
    for _ in range(2):
        key.disable()
        until(lambda: read(path) == "EKEYREVOKED", "it is noticed")
        key.restore()
        until(lambda: read(path) == b"a", "service returns")
    start = time.monotonic()
    mount.umount()
    assert time.monotonic() - start < 9
    assert "event_command: killed at revoked" in mount.log()
    sleeper = int(pid_file.read_text())
    until(lambda: not os.path.exists(f"/proc/{sleeper}") or
          "Z" in open(f"/proc/{sleeper}/stat", encoding="ascii").read().split()[2], "what it started is killed", 3)


@pytest.mark.parametrize("command, told", [
    ("program", "absolute path"), ("/nowhere/program", "No such file"), ("'/bin/true", "absolute path")])
def test_a_command_that_cannot_be_run_is_told_at_once(aws, volume, command, told):
    aws.configure(event_command=command)
    said = volume.mount_refused(2)
    assert "event_command" in said and told in said


def test_a_key_that_is_due_is_told_once(sandbox, aws, key, volume, recorder):
    key.key.created = time.time() - 100 * 86400
    other = aws.add("rotated")
    other.key.created, other.key.rotates = key.key.created, time.time() + 86400
    with volume.mount(*FAST) as mount:
        assert read(mount.path / "a" / "file") == b"a"
        sandbox.run("keys", "set-default", volume.backing, other.uri)
        (mount.path / "b").mkdir()
        until(recorder.names, "an event comes")
        time.sleep(3)
        assert recorder.names() == ["rotation-due"] and recorder.events()[0]["key_id"] == key.key.arn
        keys = status(mount)[1]
        assert keys[key.key.arn]["rotation_due"] and not keys[other.key.arn]["rotation_due"]
        assert keys[key.key.arn]["state"] == "enabled" and status(mount)[0]["state"] == "serving"
    aws.configure(rotation_age="none")
    recorder.lines.unlink()
    with volume.mount(*FAST) as mount:
        assert read(mount.path / "a" / "file") == b"a"
        time.sleep(2.5)
        assert recorder.names() == []


def test_a_rewrapped_data_key_follows_its_new_key(sandbox, aws, key, volume):
    """The key that it had may be disabled then."""
    other = aws.add("other")
    with volume.mount(*FAST) as mount:
        assert read(mount.path / "a" / "file") == b"a"
        sandbox.run("keys", "set-default", volume.backing, other.uri)
        sandbox.run("keys", "rewrap", volume.backing, "--to", other.uri)
        key.disable()
        until(lambda: key.key.arn not in status(mount)[1], "nobody needs the first key", 6)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert read(mount.path / "a" / "file") == b"a"
            time.sleep(0.1)
        other.disable()
        until(lambda: read(mount.path / "a" / "file") == "EKEYREVOKED", "the second one counts")


def test_the_program_is_not_left_writable_files(sandbox, aws, key, volume, recorder):
    with volume.mount(*FAST) as mount:
        assert read(mount.path / "a" / "file") == b"a"
        key.disable()
        until(recorder.names, "an event comes")
    assert stat.S_IMODE(recorder.lines.stat().st_mode) == 0o600
