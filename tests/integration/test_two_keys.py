# SPDX-License-Identifier: Apache-2.0
"""Two snapshots under two keys: each is served while its own key is enabled."""

import errno
import os
import time

import pytest

POLL = "key_poll=1s"


@pytest.fixture
def two(sandbox):
    """A volume with snapshots "a" and "b" under two keys of one keyring, and what lists their keys."""
    volume = sandbox.init()
    keyring = sandbox.state / "keyring"
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"A" * 100_000)
    sandbox.run("keyring", "add", keyring, "second")
    sandbox.run("keys", "set-default", volume.backing, f"keyring://{keyring}#second")
    with volume.mount() as mount:
        (mount.path / "b").mkdir()
        (mount.path / "b" / "file").write_bytes(b"B" * 100_000)
    return volume, keyring


def key_ids(volume):
    return {snapshot["name"]: snapshot["encryption_key_ids"] for snapshot in
            volume.json("snapshot list")["snapshots"]}


def read(path):
    try:
        return path.read_bytes()[:1]
    except OSError as error:
        return errno.errorcode[error.errno]


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_each_snapshot_lists_its_own_key(sandbox, two):
    volume, _ = two
    listing = volume.run("snapshot list").stdout
    with volume.mount("ro") as mount:
        values = {}
        for name, suffix in (("a", b"#default"), ("b", b"#second")):
            values[name] = os.getxattr(mount.path / name, "user.snapcrypt.key_id")
            assert values[name].startswith(b"keyring:") and values[name].endswith(suffix)
            assert os.getxattr(volume.backing / name, "user.snapcrypt.key_id") == values[name]
            assert values[name].decode() in listing
            assert "user.snapcrypt.key_id" not in os.listxattr(mount.path / name)
        assert values["a"] != values["b"]


def test_disabling_one_key_blocks_that_snapshot_only(sandbox, two):
    """Also what is cached already; re-enabling brings it back without a remount."""
    volume, keyring = two
    sandbox.allow("disabled")
    with volume.mount("ro", POLL) as mount:
        a, b = mount.path / "a" / "file", mount.path / "b" / "file"
        assert (read(a), read(b)) == (b"A", b"B")
        sandbox.run("keyring", "disable", keyring, "default")
        wait_until(lambda: read(a) == "EKEYREVOKED")
        assert read(b) == b"B"
        assert sorted(os.listdir(mount.path)) == ["a", "b"]
        sandbox.run("keyring", "enable", keyring, "default")
        wait_until(lambda: read(a) == b"A")
    sandbox.run("keyring", "disable", keyring, "default")
    with volume.mount("ro") as mount:
        assert (read(mount.path / "a" / "file"), read(mount.path / "b" / "file")) == ("EKEYREVOKED", b"B")
    output = volume.mount_refused(12, "ro", "snapshot=a")
    assert "disabled" in output and "keyring enable" in output
    sandbox.run("keyring", "enable", keyring, "default")
    with volume.mount("ro", "snapshot=a") as mount:
        assert read(mount.path / "file") == b"A"


def test_a_deleted_key_is_gone_for_good(sandbox, two):
    volume, keyring = two
    sandbox.allow("deleted")
    sandbox.run("keyring", "delete", keyring, "second", "--yes")
    with volume.mount("ro") as mount:
        assert (read(mount.path / "a" / "file"), read(mount.path / "b" / "file")) == (b"A", "ENOKEY")
    volume.mount_refused(17, "ro", "snapshot=b")


def test_writers_learn_of_revocation_and_lose_nothing(sandbox, two):
    volume, keyring = two
    sandbox.allow("disabled")
    with volume.mount(POLL) as mount:
        descriptor = os.open(mount.path / "b" / "log", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"acknowledged")
        sandbox.run("keyring", "disable", keyring, "second")

        def is_refused():
            try:
                os.write(descriptor, b"+")
                os.fsync(descriptor)
            except OSError as error:
                assert error.errno == errno.EKEYREVOKED, error
                return True
            return False
        wait_until(is_refused)
        with pytest.raises(OSError) as refusal:
            os.close(descriptor)
        assert refusal.value.errno == errno.EKEYREVOKED
        sandbox.run("keyring", "enable", keyring, "second")
        wait_until(lambda: read(mount.path / "b" / "log") == b"a")
        assert (mount.path / "b" / "log").read_bytes().startswith(b"acknowledged")
