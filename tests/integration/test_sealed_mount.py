# SPDX-License-Identifier: Apache-2.0
"""Sealed snapshots in a mount: served from the manifest, whatever is below; content compared block by block."""

import errno
import os
import shutil
import stat

import pytest
from snapcrypt import flip
from trees import run

NAME = "2026-11-24"


def refused(expected, call, *arguments):
    with pytest.raises(OSError) as refusal:
        call(*arguments)
    assert refusal.value.errno == expected, refusal.value


def fill(root):
    (root / "directory" / "deep").mkdir(parents=True)
    (root / "file").write_bytes(b"f" * 300_000)
    (root / "directory" / "inside").write_bytes(b"i" * 1000)
    (root / "directory" / "deep" / "down").write_bytes(b"d" * 1000)
    (root / "link").symlink_to("file")
    os.link(root / "file", root / "second")
    os.setxattr(root / "file", "user.comment", b"sealed")
    os.chown(root / "directory" / "inside", 12, 34)
    os.utime(root / "file", ns=(5, 7))


def shown(root):
    """All that a user sees without opening a file."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in ["", *directories, *files]:
            path = os.path.join(directory, name).rstrip("/")
            status = os.lstat(path)
            target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
            attributes = {name: os.getxattr(path, name, follow_symlinks=False)
                          for name in os.listxattr(path, follow_symlinks=False)}
            size = None if stat.S_ISDIR(status.st_mode) else status.st_size
            found[os.path.relpath(path, root)] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns,
                                                  size, target, attributes)
    return found


def seal(volume, at, name=NAME):
    volume.sandbox.run("snapshot", "seal", at, name)


def backing_of(volume, name=NAME):
    """Plain name -> backing path, by size and type."""
    found = {}
    root = volume.backing / name
    for path in [path for path in root.rglob("*") if not path.name.startswith(".snapcrypt")]:
        if path.is_symlink():
            found["link"] = path
        elif path.is_dir():
            found["directory" if path.parent == root else "deep"] = path
        elif path.stat().st_size > 10_000:
            found.setdefault("file", path)
        else:
            found["inside" if path.parent.parent == root else "down"] = path
    return found


@pytest.fixture
def sealed(volume):
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        fill(mount.path / NAME)
        expected = shown(mount.path / NAME)
        seal(volume, mount.path)
    return volume, expected


@pytest.mark.parametrize("option", ["rw", "ro", f"ro,snapshot={NAME}"])
def test_what_is_said_below_is_not_served(sandbox, sealed, option):
    """S-40, S-41: names, attributes, targets from the manifest; what is gone or exchanged gives EIO."""
    volume, expected = sealed
    sandbox.allow("missing|tampered|not authentic")
    below = backing_of(volume)
    os.chmod(below["file"], 0o777)
    os.chown(below["inside"], 1, 1)
    os.utime(below["file"], ns=(1, 1))
    os.utime(below["directory"], ns=(1, 1))
    for name in os.listxattr(below["file"]):
        os.removexattr(below["file"], name)
    below["link"].unlink()
    os.symlink("/etc/passwd", below["link"])
    shutil.copy(below["inside"], below["directory"] / ("A" * 40))
    os.rename(below["down"], below["directory"] / below["down"].name)
    flip(below["inside"], 200)
    with volume.mount(*option.split(",")) as mount:
        root = mount.path if "snapshot" in option else mount.path / NAME
        assert shown(root) == expected
        assert (root / "file").read_bytes() == (root / "second").read_bytes() == b"f" * 300_000
        assert os.stat(root / "file").st_ino == os.stat(root / "second").st_ino
        assert os.stat(root / "file").st_nlink == 2
        refused(errno.EIO, (root / "directory" / "inside").read_bytes)
        refused(errno.EIO, (root / "directory" / "deep" / "down").read_bytes)
        refused(errno.ENOENT, os.lstat, root / "directory" / "down")
        assert f"{NAME}/directory/deep/down: missing" in mount.log()
        assert f"{NAME}/directory/inside: tampered" in mount.log()
        refused(errno.EROFS, os.chmod, root / "file", 0o600)


def test_nothing_below_is_asked_for_a_listing(sandbox, sealed):
    """S-40: with all of it gone the tree is still there."""
    volume, expected = sealed
    sandbox.allow("missing")
    root = volume.backing / NAME
    for path in root.iterdir():
        if path.name.startswith(".snapcrypt"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with volume.mount() as mount:
        assert shown(mount.path / NAME) == expected
        assert NAME in run("ls", "-lR", mount.path)
        refused(errno.EIO, (mount.path / NAME / "file").read_bytes)


def test_a_seal_under_readers_is_in_force_at_once(sandbox, volume):
    """S-42: what was looked up, listed and opened before goes on, with what the manifest says."""
    sandbox.allow("missing|tampered|not authentic")
    with volume.mount() as mount:
        root = mount.path / NAME
        root.mkdir()
        fill(root)
        expected = shown(root)
        reader = os.open(root / "file", os.O_RDONLY)
        directory = os.open(root / "directory", os.O_RDONLY | os.O_DIRECTORY)
        old = os.open(root / "directory" / "inside", os.O_RDONLY)
        try:
            assert os.pread(reader, 10, 0) == b"f" * 10
            seal(volume, mount.path)
            below = backing_of(volume)
            os.chmod(below["file"], 0o777)
            os.utime(below["directory"], ns=(1, 1))
            flip(below["inside"], 200)
            assert os.pread(reader, 300_000, 0) == b"f" * 300_000
            assert stat.S_IMODE(os.fstat(reader).st_mode) == stat.S_IMODE(expected["file"][0])
            assert os.fstat(directory).st_mtime_ns == expected["directory"][3]
            assert sorted(os.listdir(directory)) == ["deep", "inside"]
            refused(errno.EIO, os.pread, old, 10, 0)
            assert shown(root) == expected
        finally:
            for descriptor in (reader, directory, old):
                os.close(descriptor)
        sandbox.run("snapshot", "delete", mount.path, NAME, "--yes")
        refused(errno.ENOENT, os.listdir, root)


def test_links_are_compared_before_they_are_made(sandbox, sealed):
    """S-43: --link-dest from a sealed snapshot; what was changed below is not handed on."""
    volume, _ = sealed
    sandbox.allow("missing|tampered|metadata|not authentic")
    with volume.mount() as mount:
        root, younger = mount.path / NAME, mount.path / "younger"
        run("rsync", "-aHAX", f"--link-dest=../{NAME}", f"{root}/", f"{younger}/")
        below = backing_of(volume)
        assert below["file"].stat().st_nlink == 4
        assert (younger / "file").read_bytes() == b"f" * 300_000
        refused(errno.EROFS, os.chmod, younger / "file", 0o600)
        refused(errno.EROFS, os.truncate, younger / "file", 0)
        os.chmod(below["inside"], 0o777)
        refused(errno.EIO, os.link, root / "directory" / "inside", younger / "drifted")
        refused(errno.ENOENT, os.lstat, younger / "drifted")
        seal(volume, mount.path, "younger")
        assert (younger / "file").read_bytes() == b"f" * 300_000


def test_a_manifest_that_is_not_authentic_serves_nothing(sandbox, sealed):
    """S-44: the root can be listed, everything inside gives EIO; a mount of it alone is refused."""
    volume, _ = sealed
    sandbox.allow("not authentic")
    flip(next((volume.control / "manifests").iterdir()), 200)
    with volume.mount() as mount:
        assert os.listdir(mount.path) == [NAME]
        assert os.stat(mount.path / NAME).st_mode
        refused(errno.EIO, os.listdir, mount.path / NAME)
        refused(errno.EIO, os.lstat, mount.path / NAME / "file")
        assert "seals/1" in mount.log() and "snapcrypt verify" in mount.log()
    volume.mount_refused(4, "ro", f"snapshot={NAME}")
