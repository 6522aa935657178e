# SPDX-License-Identifier: Apache-2.0
"""Several slots for a data key: which of them opens it, and changing them with keys add, remove and rewrap."""

import hashlib
import json
import os
import random
import subprocess
import threading
import time

import pytest
from schema import check

COUNT = int(os.environ.get("SNAPCRYPT_REWRAP_SNAPSHOTS", "40"))
KILLS = int(os.environ.get("SNAPCRYPT_REWRAP_KILLS", "5"))


@pytest.fixture
def keyring(sandbox):
    """The keyring of the sandbox with a second key, "next"."""
    path = sandbox.state / "keyring"
    sandbox.run("keyring", "init", path)
    sandbox.run("keyring", "add", path, "next")
    return path


def fill(volume, names):
    """A snapshot with one file for each name; the content by name."""
    contents = {name: os.urandom(5000) for name in names}
    with volume.mount() as mount:
        for name, content in contents.items():
            (mount.path / name).mkdir()
            (mount.path / name / "file").write_bytes(content)
    return contents


def read(volume, names, **more):
    with volume.mount("ro", **more) as mount:
        return {name: (mount.path / name / "file").read_bytes() for name in names}


def records(volume):
    """The key records as they are on storage: {data key: {generation: [(role, key id)]}}."""
    found = {}
    for path in (volume.control / "keys").glob("*/[0-9]*"):
        headers = [json.loads(slot["header"]) for slot in json.loads(path.read_text().splitlines()[0])["slots"]]
        found.setdefault(path.parent.name, {})[int(path.name)] = [
            (header["role"], header["key_id"].partition("#")[2] or header["key_id"][:9]) for header in headers]
    return found


def slots(volume):
    """What every data key has; one record each."""
    tables = [sorted(table) for generations in records(volume).values() for table in generations.values()]
    assert all(len(generations) == 1 for generations in records(volume).values())
    return tables


def untouched(volume):
    """Time and content of everything that is not a record."""
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest()) for path in volume.files()}


def recovery_pair(sandbox):
    private, public = sandbox.root / "recovery.key", sandbox.root / "recovery.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    private.chmod(0o600)
    return private, public


def test_new_data_keys_get_every_configured_slot(sandbox, keyring):
    sandbox.configure(f"[global]\nalternate_key = keyring://{keyring}#next\n")
    _, public = recovery_pair(sandbox)
    volume = sandbox.init("--recovery-key", public)
    fill(volume, ["a"])
    assert slots(volume) == [[("alternate", "next"), ("primary", "default"), ("recovery", "recovery:")]]
    # The settings were pinned, so they count without the configuration, too.
    sandbox.configure("")
    fill(volume, ["b"])
    assert len(slots(volume)) == 2 and slots(volume)[0] == slots(volume)[1]
    shown = volume.json("volume show")
    assert [key["uri"] for key in shown["alternate_keys"]] == [f"keyring://{keyring}#next"]


def test_slots_are_added_and_removed(sandbox, keyring):
    volume = sandbox.init()
    contents = fill(volume, ["a", "b"])
    before = untouched(volume)
    uri = f"keyring://{keyring}#next"
    assert "2 of 2" in volume.run("keys add", uri, "--dry-run").stdout
    assert slots(volume) == [[("primary", "default")]] * 2
    volume.run("keys add", uri, "--snapshot", "a")
    assert sorted(map(len, slots(volume))) == [1, 2]
    report = check(volume.json("keys add", uri))["volumes"][0]
    assert (report["data_keys"], report["to_change"], report["changed"], report["failed"]) == (2, 1, 1, 0)
    assert slots(volume) == [[("alternate", "next"), ("primary", "default")]] * 2
    assert volume.json("keys add", uri)["volumes"][0]["to_change"] == 0
    # New snapshots have it as well.
    contents.update(fill(volume, ["c"]))
    assert slots(volume) == [[("alternate", "next"), ("primary", "default")]] * 3

    ids = {key["key_id"].partition("#")[2]: key["key_id"] for key in volume.json("keys list")["keys"]}
    assert "primary" in volume.run("keys remove", ids["default"], "--yes", code=5).stderr
    assert volume.run("keys remove", ids["next"], code=2).stderr      # neither a terminal nor --yes
    sandbox.run("keyring", "disable", keyring, "default")
    volume.run("keys remove", ids["next"], "--yes", code=12)
    sandbox.run("keyring", "enable", keyring, "default")
    volume.run("keys remove", ids["next"], "--yes")
    assert slots(volume) == [[("primary", "default")]] * 3
    assert {path: state for path, state in untouched(volume).items() if path in before} == before
    contents.update(fill(volume, ["d"]))
    assert slots(volume) == [[("primary", "default")]] * 4
    assert read(volume, contents) == contents


def test_rewrap_frees_the_old_key(sandbox, keyring):
    volume = sandbox.init()
    contents = fill(volume, ["a", "b", "c"])
    before = untouched(volume)
    uri = f"keyring://{keyring}#next"
    assert "to keyring:" in volume.run("keys rewrap", "--to", uri, "--dry-run").stdout
    assert slots(volume) == [[("primary", "default")]] * 3
    first = volume.run("keys rewrap", "--to", uri, "--snapshot", "a").stdout
    assert "#default is no longer needed by 1 snapshot, still needed by 2" in first
    output = volume.run("keys rewrap", "--to", uri, "--from", f"keyring://{keyring}#default")
    assert "#default is no longer needed by 2 snapshots\n" in output.stdout
    assert slots(volume) == [[("primary", "next")]] * 3
    assert untouched(volume) == before
    sandbox.run("keyring", "disable", keyring, "default")
    assert read(volume, contents) == contents
    listing = volume.json("snapshot list")["snapshots"]
    assert all(row["encryption_key_id"].endswith("#next") for row in listing)
    for name in contents:
        assert os.getxattr(volume.backing / name, "user.snapcrypt.key_id").endswith(b"#next")
    assert volume.run("keys rewrap", "--to", "keyring:///nowhere#x", code=None).returncode not in (0, 3)


def test_an_alternate_becomes_the_primary(sandbox, keyring):
    sandbox.configure(f"[global]\nalternate_key = keyring://{keyring}#next\n")
    volume = sandbox.init()
    contents = fill(volume, ["a"])
    volume.run("keys rewrap", "--to", f"keyring://{keyring}#next")
    assert slots(volume) == [[("primary", "next")]]
    assert read(volume, contents) == contents


def test_rewrap_under_a_running_mount(sandbox, keyring):
    volume = sandbox.init()
    with volume.mount("key_poll=1s") as mount:
        contents = {}
        for number in range(20):
            contents[f"s{number}"] = os.urandom(5000)
            (mount.path / f"s{number}").mkdir()
            (mount.path / f"s{number}" / "file").write_bytes(contents[f"s{number}"])
        with open(mount.path / "s0" / "open", "wb", buffering=0) as stream:
            stream.write(b"before ")
            report = sandbox.json("keys", "rewrap", mount.path, "--to", f"keyring://{keyring}#next")["volumes"][0]
            assert (report["changed"], report["failed"]) == (20, 0)
            assert report["keys"][0]["no_longer_needed_by"] == 20 and report["keys"][0]["still_needed_by"] == 0
            sandbox.run("keys", "set-default", mount.path, f"keyring://{keyring}#next")
            sandbox.run("keyring", "disable", keyring, "default")
            time.sleep(3)
            stream.write(b"and after")
        assert (mount.path / "s0" / "open").read_bytes() == b"before and after"
        assert {name: (mount.path / name / "file").read_bytes() for name in contents} == contents
        assert os.getxattr(mount.path / "s3", "user.snapcrypt.key_id").endswith(b"#next")
        (mount.path / "new").mkdir()
    assert slots(volume) == [[("primary", "next")]] * 21
    assert read(volume, contents) == contents


def test_rewrap_with_the_recovery_key(sandbox, keyring):
    private, public = recovery_pair(sandbox)
    volume = sandbox.init("--recovery-key", public)
    contents = fill(volume, ["a", "b"])
    sandbox.run("keyring", "delete", keyring, "default", "--yes")
    uri = f"keyring://{keyring}#next"
    assert volume.run("keys rewrap", "--to", uri, code=17).stderr
    volume.run("keys rewrap", "--to", uri, "--recovery-key", private)
    assert slots(volume) == [[("primary", "next"), ("recovery", "recovery:")]] * 2
    assert read(volume, contents) == contents
    used = [json.loads(line) for line in (sandbox.state / "audit.log").read_text().splitlines()]
    assert {"recovery-key-used", "rewrap"} <= {entry["operation"] for entry in used}


def test_rewrap_killed_and_resumed(sandbox, keyring):
    """Every snapshot opens at every point; at the end none needs the old key, and no data file was touched."""
    volume = sandbox.init()
    names = [f"s{number:04}" for number in range(COUNT)]
    contents = fill(volume, names)
    before = untouched(volume)
    command = [sandbox.binary, "keys", "rewrap", volume.backing, "--to", f"keyring://{keyring}#next"]
    started = time.monotonic()
    volume.run("keys rewrap", "--to", f"keyring://{keyring}#next", "--dry-run")
    least = time.monotonic() - started
    kills, chance = 0, random.Random(7)
    for _ in range(KILLS * 4):
        if kills == KILLS:
            break
        process = subprocess.Popen(command, env=sandbox.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        timer = threading.Timer(least * 0.7 + chance.random() * least * max(1, COUNT / KILLS / 10), process.kill)
        timer.start()
        process.communicate()
        timer.cancel()
        kills += process.returncode == -9
        with volume.mount("ro") as mount:
            for name in names:
                assert (mount.path / name / "file").read_bytes() == contents[name]
    assert kills, "the command was never killed"
    volume.run("keys rewrap", "--to", f"keyring://{keyring}#next")
    assert slots(volume) == [[("primary", "next")]] * COUNT
    assert untouched(volume) == before
    sandbox.run("keyring", "disable", keyring, "default")
    assert read(volume, names) == contents
