# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, "Names"."""

import ctypes
import errno
import os
import socket
import stat

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def error_of(action, *arguments):
    """The errno name that a call fails with, or None."""
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def rename2(source, target, flags):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@pytest.fixture
def place(mount):
    """A directory inside a snapshot."""
    path = mount.path / "s" / "place"
    path.mkdir(parents=True)
    return path


def test_every_kind_of_object_survives_a_remount(volume):
    """S-1"""
    def look(directory):
        found = {}
        for path in sorted(directory.iterdir()):
            info = path.lstat()
            found[path.name] = (stat.S_IFMT(info.st_mode), info.st_rdev, info.st_nlink,
                                os.readlink(path) if path.is_symlink() else None,
                                path.read_bytes() if path.is_file() and not path.is_symlink() else None)
        return found

    with volume.mount() as mount:
        place = mount.path / "s"
        place.mkdir()
        (place / "file").write_bytes(b"content")
        (place / "directory" / "below").mkdir(parents=True)
        (place / "link").symlink_to("file")
        (place / "dangling").symlink_to("/nowhere/at/all")
        os.mkfifo(place / "fifo")
        os.mknod(place / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(place / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
        os.mknod(place / "plain", 0o600 | stat.S_IFREG)
        here = os.open(place, os.O_PATH)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        os.link(place / "file", place / "directory" / "hard")
        before = look(place)
        assert len(before) == 9
    with volume.mount("ro") as mount:
        assert look(mount.path / "s") == before


def test_a_directory_at_snapshot_depth_is_a_snapshot(volume):
    """S-2"""
    with volume.mount() as mount:
        (mount.path / "tonight").mkdir()
        (mount.path / "tonight" / "file").write_bytes(b"x")
        identity = os.getxattr(mount.path / "tonight", "user.snapcrypt.snapshot")
        (mount.path / "tonight").rename(mount.path / "2026-11-24")
        assert os.getxattr(mount.path / "2026-11-24", "user.snapcrypt.snapshot") == identity
        (mount.path / "2026-11-24" / "more").write_bytes(b"y")
        assert sorted(os.listdir(mount.path)) == ["2026-11-24"]
    with volume.mount() as mount:
        assert os.getxattr(mount.path / "2026-11-24", "user.snapcrypt.snapshot") == identity
        assert (mount.path / "2026-11-24" / "file").read_bytes() == b"x"


def test_reserved_names_are_not_there(mount, place):
    """S-3"""
    other = place / "other"
    other.write_bytes(b"x")
    for directory in (mount.path, mount.path / "s", place):
        for name in (".snapcrypt", ".snapcrypt-id", ".snapcryptical"):
            path = directory / name
            assert not path.exists() and name not in os.listdir(directory)
            assert error_of(path.mkdir) == "EPERM"
            assert error_of(path.write_bytes, b"x") == "EPERM"
            assert error_of(path.symlink_to, "x") == "EPERM"
            assert error_of(os.mkfifo, path) == "EPERM"
            assert error_of(os.link, other, path) == "EPERM"
            assert error_of(os.rename, other, path) == "EPERM"
            assert error_of(path.unlink) == "ENOENT"
            assert error_of(path.rmdir) == "ENOENT"


def test_rename_replaces_at_once(place):
    """S-4"""
    for name in ("old", "new"):
        (place / name).write_bytes(name.encode() * 1000)
    with open(place / "old", "rb") as reader:
        os.rename(place / "new", place / "old")
        assert reader.read() == b"old" * 1000
        assert os.fstat(reader.fileno()).st_nlink == 0
    assert (place / "old").read_bytes() == b"new" * 1000 and os.listdir(place) == ["old"]
    (place / "other").write_bytes(b"other")
    assert error_of(rename2, place / "other", place / "old", RENAME_NOREPLACE) == "EEXIST"
    assert error_of(rename2, place / "other", place / "old", RENAME_EXCHANGE) == "EINVAL"
    rename2(place / "other", place / "free", RENAME_NOREPLACE)
    os.link(place / "old", place / "same")
    os.rename(place / "old", place / "same")
    assert sorted(os.listdir(place)) == ["free", "old", "same"]


def test_rename_of_directories(place):
    """S-4"""
    (place / "a" / "b").mkdir(parents=True)
    with open(place / "a" / "b" / "file", "wb", buffering=0) as file:
        file.write(b"before ")
        (place / "a").rename(place / "c")
        file.write(b"after")
    assert (place / "c" / "b" / "file").read_bytes() == b"before after"
    (place / "empty").mkdir()
    (place / "full").mkdir()
    (place / "full" / "x").mkdir()
    assert error_of(os.rename, place / "c", place / "full") == "ENOTEMPTY"
    os.rename(place / "c", place / "empty")
    assert (place / "empty" / "b" / "file").read_bytes() == b"before after"
    assert error_of(os.rename, place / "empty", place / "empty" / "b" / "x") == "EINVAL"
    assert error_of(os.rmdir, place / "full") == "ENOTEMPTY"


def test_what_may_move_between_snapshots(mount):
    """S-5"""
    for name in ("one", "two"):
        (mount.path / name / "directory").mkdir(parents=True)
    (mount.path / "one" / "file").write_bytes(b"content")
    assert error_of(os.rename, mount.path / "one" / "directory", mount.path / "two" / "moved") == "EXDEV"
    assert error_of(os.rename, mount.path / "one" / "directory", mount.path / "up") == "EXDEV"
    assert error_of(os.rename, mount.path / "one", mount.path / "two" / "down") == "EXDEV"
    os.rename(mount.path / "one" / "file", mount.path / "two" / "file")
    os.link(mount.path / "two" / "file", mount.path / "one" / "linked")
    assert (mount.path / "one" / "linked").read_bytes() == b"content"
    assert (mount.path / "one" / "linked").samefile(mount.path / "two" / "file")


def test_names_of_one_file_agree(place):
    """S-6"""
    a, b, c = (place / name for name in "abc")
    a.write_bytes(b"x")
    os.link(a, b)
    with open(a, "ab", buffering=0) as file:
        file.write(b"y" * 70_000)
        os.link(a, c)
        assert {path.stat().st_size for path in (a, b, c)} == {70_001}
    os.chmod(b, 0o640)
    assert {(path.stat().st_ino, path.stat().st_mode & 0o777, path.stat().st_nlink) for path in (a, b, c)} == {
        (a.stat().st_ino, 0o640, 3)}
    a.unlink()
    os.chmod(c, 0o600)
    assert (b.stat().st_nlink, b.stat().st_mode & 0o777) == (2, 0o600)
    with open(c, "r+b") as file:
        file.write(b"z")
    assert b.read_bytes() == b"z" + b"y" * 70_000


def test_a_removed_open_file_goes_on(place):
    """S-7"""
    path = place / "file"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(file, b"abcd" * 25_000)
    path.unlink()
    assert os.listdir(place) == [] and os.fstat(file).st_nlink == 0
    os.pwrite(file, b"later", 200_000)
    assert os.pread(file, 10, 199_998) == b"\0\0later"
    os.ftruncate(file, 3)
    os.fchmod(file, 0o600)
    assert (os.fstat(file).st_size, os.pread(file, 10, 0)) == (3, b"abc")
    path.write_bytes(b"another")
    os.write(file, b"no")
    os.fsync(file)
    os.close(file)
    assert path.read_bytes() == b"another"


@pytest.mark.parametrize("name", [b"n" * 255, b"\n", b"\xff\xfe", b"-rf", b".hidden", b" ", b"=" * 44, b"a\\b",
                                  "ü".encode() * 127, b"x" * 175, b"x" * 176])
def test_any_name_is_kept(place, name):
    """S-8"""
    directory = os.fsencode(place)
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(name)
    assert os.listdir(directory) == [name]
    os.rename(path, path + b"2" if len(name) < 255 else path[:-1])
    os.rename(path + b"2" if len(name) < 255 else path[:-1], path)
    with open(path, "rb") as file:
        assert file.read() == name
    os.unlink(path)
    assert os.listdir(directory) == []


def test_too_long(place):
    """S-8"""
    assert error_of((place / ("n" * 256)).write_bytes, b"") == "ENAMETOOLONG"
    assert error_of((place / "link").symlink_to, "x" * 4000) == "ENAMETOOLONG"
    (place / "link").symlink_to("x" * 900)
    assert os.readlink(place / "link") == "x" * 900
    assert (place / "link").lstat().st_size == 900


def test_listing_while_entries_come_and_go(place):
    """S-9"""
    stay = {f"stay-{number}" for number in range(300)}
    for name in stay:
        (place / name).touch()
    for number in range(300):
        (place / f"go-{number}").touch()
    seen = []
    with os.scandir(place) as listing:
        for number, entry in enumerate(listing):
            seen.append(entry.name)
            if number < 300:
                (place / f"go-{number}").unlink()
                (place / f"come-{number}").touch()
    assert len(seen) == len(set(seen)) and stay <= set(seen)
