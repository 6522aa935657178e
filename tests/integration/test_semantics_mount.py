# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, "The mount itself"."""

import errno
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest


def error_of(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def options_of(path):
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[4] == str(path):
            found = set(fields[5].split(","))
    return found


@pytest.fixture
def filled(volume):
    """Two snapshots with a file each."""
    with volume.mount() as mount:
        for name in ("one", "two"):
            (mount.path / name).mkdir()
            (mount.path / name / "file").write_bytes(name.encode())
    return volume


def test_a_daemon_serves_when_the_command_returns(filled):
    """S-30"""
    with filled.mount(daemon=True) as mount:
        assert (mount.path / "one" / "file").read_bytes() == b"one"


@pytest.mark.parametrize("daemon", [False, True])
def test_nothing_is_mounted_where_it_cannot_serve(sandbox, filled, daemon):
    """S-30"""
    place = sandbox.directory("mnt")
    filled.mount_refused(1, "ro", "snapshot=none", at=place, daemon=daemon)
    assert not os.path.ismount(place)
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "default")
    output = filled.mount_refused(12, at=place, daemon=daemon)
    assert "disabled" in output and not os.path.ismount(place)
    filled.mount_refused(12, "ro", "snapshot=one", at=place, daemon=daemon)
    filled.mount_refused(12, "ro", at=place, daemon=daemon)
    assert not os.path.ismount(place)
    sandbox.run("keyring", "enable", sandbox.state / "keyring", "default")
    filled.mount(at=place, daemon=daemon).umount()


def test_flags_of_the_mount(filled):
    """S-31"""
    with filled.mount() as mount:
        assert {"rw", "nosuid", "nodev"} <= options_of(mount.path)
        (mount.path / "one" / "link").symlink_to("file")
        assert (mount.path / "one" / "link").read_bytes() == b"one"
    with filled.mount("ro") as mount:
        assert {"ro", "nosuid", "nodev"} <= options_of(mount.path)
        assert error_of((mount.path / "one" / "link").read_bytes) == "ELOOP"
        assert os.readlink(mount.path / "one" / "link") == "file"
    with filled.mount("ro", "symfollow", "noexec") as mount:
        assert {"ro", "nosuid", "nodev", "noexec"} <= options_of(mount.path)
        assert (mount.path / "one" / "link").read_bytes() == b"one"


def test_over_and_around_the_backing_directory(filled):
    """S-32"""
    with filled.mount(at=filled.backing) as mount:
        assert (mount.path / "one" / "file").read_bytes() == b"one"
        (mount.path / "one" / "new").write_bytes(b"new")
    assert (filled.backing / ".snapcrypt").is_dir()
    with filled.mount("ro") as mount:
        assert (mount.path / "one" / "new").read_bytes() == b"new"
    assert "inside" in filled.mount_refused(2, at=filled.backing / "one")
    assert "inside" in filled.mount_refused(2, at=filled.backing.parent)


def test_a_read_only_mount_changes_nothing(filled):
    """S-33"""
    def look():
        return {path: (info.st_mtime_ns, info.st_ctime_ns, info.st_size) for path in
                sorted(filled.backing.rglob("*")) for info in [path.lstat()]}

    before = look()
    with filled.mount("ro") as mount:
        path = mount.path / "one" / "file"
        assert path.read_bytes() == b"one" and os.listdir(mount.path / "one") == ["file"]
        for action in (lambda: path.write_bytes(b"x"), path.unlink, lambda: path.chmod(0), lambda: os.utime(path),
                       lambda: (mount.path / "new").mkdir(), lambda: (mount.path / "one" / "new").write_bytes(b""),
                       lambda: os.truncate(path, 0), lambda: os.setxattr(path, "user.x", b"x"),
                       lambda: os.rename(path, mount.path / "two" / "x"), lambda: os.link(path, mount.path / "x"),
                       lambda: os.open(path, os.O_RDWR)):
            assert error_of(action) == "EROFS"
    assert look() == before


def test_one_snapshot(filled):
    """S-34"""
    identity = filled.json("snapshot list")["snapshots"][0]
    for name in ("one", identity["id"] if identity["name"] == "one" else "one"):
        with filled.mount("ro", f"snapshot={name}") as mount:
            assert os.listdir(mount.path) == ["file"]
            assert (mount.path / "file").read_bytes() == b"one"
            assert not (mount.path / "two").exists() and not (mount.path / ".." / "two").exists()
    filled.mount_refused(2, "snapshot=one")


def test_a_released_volume_can_be_mounted_at_once(volume):
    """S-35"""
    content = os.urandom(20 << 20)
    for turn in range(3):
        with volume.mount() as mount:
            (mount.path / "s").mkdir(exist_ok=True)
            (mount.path / "s" / f"file-{turn}").write_bytes(content)
    with volume.mount("ro") as mount:
        for turn in range(3):
            assert (mount.path / "s" / f"file-{turn}").read_bytes() == content


def test_sigterm_ends_a_mount(volume):
    """S-36"""
    mount = volume.mount()
    (mount.path / "s").mkdir()
    file = os.open(mount.path / "s" / "file", os.O_WRONLY | os.O_CREAT)
    for _ in range(20):
        os.write(file, b"x" * (1 << 20))
    mount.process.send_signal(signal.SIGTERM)
    assert mount.process.wait(60) == 0
    assert not mount.is_mounted()
    error_of(os.close, file)
    with volume.mount("ro") as mount:
        assert (mount.path / "s" / "file").read_bytes() == b"x" * (20 << 20)


def test_writers_and_readers_beside_each_other(filled):
    """S-37"""
    with filled.mount() as writer:
        filled.mount_refused(11)
        with filled.mount("ro") as reader:
            assert (reader.path / "one" / "file").read_bytes() == b"one"
            (writer.path / "one" / "file").write_bytes(b"changed" * 10_000)
            (writer.path / "one" / "new").write_bytes(b"new")
            deadline = time.monotonic() + 10
            while (reader.path / "one" / "file").read_bytes() != b"changed" * 10_000:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert (reader.path / "one" / "new").read_bytes() == b"new"
            assert sorted(os.listdir(reader.path / "one")) == ["file", "new"]


def test_what_the_daemon_may_do(mount):
    """S-38"""
    process = Path(f"/proc/{mount.pid()}")
    fields = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    kept = sum(1 << number for number in (0, 1, 2, 3, 4, 6, 7, 27, 31))
    assert fields["NoNewPrivs"] == "1"
    for task in (process / "task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        assert int(fields["CapEff"], 16) | int(fields["CapPrm"], 16) | kept == kept
    limits = (process / "limits").read_text()
    assert [line.split()[-3:-1] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]
    # Not dumpable: its files in /proc belong to root whoever runs it, and nobody else may attach.
    assert stat.S_IMODE((process / "mem").stat().st_mode) == 0o600
    denied = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "--regid=65534", "cat", process / "maps"],
                            check=False, capture_output=True)
    assert denied.returncode != 0
