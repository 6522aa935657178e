# SPDX-License-Identifier: Apache-2.0
"""Sealing: what it writes, what it refuses from then on, what it reads again."""

import errno
import os
import shutil
import stat
import subprocess
import uuid
from pathlib import Path

import pytest
from schema import check
from snapcrypt import overwrite
from test_decoder import decode

SIZE = 64 << 20


def refused(expected, call, *arguments, **options):
    with pytest.raises(OSError) as refusal:
        call(*arguments, **options)
    assert refusal.value.errno == expected, refusal.value


def make_tree(root):
    root.mkdir()
    (root / "large").write_bytes(os.urandom(300001))
    (root / "empty").touch()
    (root / "sub").mkdir()
    (root / "sub" / ("n" * 200)).write_bytes(b"long name")
    os.link(root / "large", root / "sub" / "link")
    os.symlink("large", root / "symlink")
    os.mkfifo(root / "fifo")
    with open(root / "sparse", "wb") as file:
        file.seek(1000000)
        file.write(b"end")
    os.setxattr(root / "large", "user.note", b"value")
    os.utime(root / "empty", ns=(5, 7))


def seal(volume, at, *names, **options):
    return volume.sandbox.json("snapshot", "seal", at, *names, **options)["snapshots"]


def state(volume, at, name):
    rows = {row["name"]: row for row in volume.sandbox.json("snapshot", "list", at)["snapshots"]}
    return rows[name]


def compare_with_manifest(volume, root):
    """The independent decoder reads chain and manifest, and finds in it what the mount shows."""
    reader = decode(volume)
    chain = reader.seals()
    manifest = reader.manifest(uuid.UUID(chain[-1].members["snapshot"]), chain[-1])
    found = {os.fsdecode(path).strip("/"): item for path, item in manifest.walk()}
    shown = {"" if str(path) == "." else str(path) for path in
             [Path("."), *(path.relative_to(root) for path in root.rglob("*"))]}
    assert set(found) == shown
    for name, item in found.items():
        status = os.lstat(root / name)
        assert (item.mode, item.uid, item.gid) == (status.st_mode, status.st_uid, status.st_gid), name
        assert item.mtime_s * 10**9 + item.mtime_ns == status.st_mtime_ns, name
        if stat.S_ISREG(item.mode):
            assert item.size == status.st_size, name
            assert len(item.tags) == item.size // reader.block_size + 1, name
        if stat.S_ISLNK(item.mode):
            assert item.target == os.fsencode(os.readlink(root / name))
    assert found["large"].attributes == {b"user.note": b"value"}
    assert found["large"].link_count == 2


def test_seal_under_a_mount_writes_a_manifest_and_refuses_every_change(sandbox, volume):
    with volume.mount() as mount:
        make_tree(mount.path / "a")
        writer = open(mount.path / "a" / "empty", "r+b")
        output = check(sandbox.json("snapshot", "seal", mount.path, "a"))
        done = output["snapshots"][0]
        assert (done["files"], done["directories"], done["symlinks"], done["special"]) == (4, 2, 1, 1)
        assert (done["sequence"], done["previous"], done["reread"]) == (1, None, 0)
        row = state(volume, mount.path, "a")
        assert row["state"] == "sealed" and row["sealed"] == done["time"] and row["was"] is None
        compare_with_manifest(volume, mount.path / "a")

        inside = mount.path / "a"
        refused(errno.EROFS, os.write, writer.fileno(), b"x")
        refused(errno.EROFS, (inside / "new").touch)
        refused(errno.EROFS, os.chmod, inside / "large", 0o600)
        refused(errno.EROFS, os.setxattr, inside / "large", "user.more", b"1")
        refused(errno.EROFS, os.unlink, inside / "large")
        refused(errno.EROFS, os.truncate, inside / "large", 0)
        # Linking from it goes on; the link is as immutable as what it links to.
        (mount.path / "b").mkdir()
        link = mount.path / "b" / "link"
        os.link(inside / "large", link)
        refused(errno.EROFS, os.chmod, link, 0o600)
        refused(errno.EROFS, os.truncate, link, 0)
        refused(errno.EROFS, os.utime, link)
        refused(errno.EROFS, os.setxattr, link, "user.more", b"1")
        assert link.read_bytes() == (inside / "large").read_bytes()
        os.rename(inside, mount.path / "c")
        assert state(volume, mount.path, "c")["was"] == "a"
        refused(errno.EROFS, os.rmdir, mount.path / "c")
        second = seal(volume, mount.path, "b")[0]
        assert (second["sequence"], second["previous"]) == (2, done["root"])
        # Its tags are those of the older manifest.
        assert (second["remembered"], second["reread"]) == (1, 0)
        try:
            writer.close()
        except OSError as error:
            assert error.errno == errno.EROFS


def test_what_was_just_written_is_not_read_again(volume):
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "large").write_bytes(os.urandom(SIZE))
    # A new daemon: what is remembered is in the state directory.
    with volume.mount() as mount:
        def read_by_daemon():
            lines = Path(f"/proc/{mount.pid()}/io").read_text().splitlines()
            numbers = dict(line.split(": ") for line in lines)
            return max(int(numbers["rchar"]), int(numbers["read_bytes"]))

        before = read_by_daemon()
        done = seal(volume, mount.path, "a")[0]
        assert (done["remembered"], done["reread"]) == (1, 0)
        assert read_by_daemon() - before < SIZE // 100


def test_what_is_not_remembered_is_read_and_counted(sandbox, volume):
    with volume.mount() as mount:
        make_tree(mount.path / "a")
    for tags in sandbox.state.glob("volumes/*/tags"):
        shutil.rmtree(tags)
    done = seal(volume, volume.backing, "a")[0]
    assert (done["remembered"], done["reread"]) == (0, 4)
    with volume.mount("ro") as mount:
        compare_with_manifest(volume, mount.path / "a")


def test_a_changed_block_is_found_before_the_seal(sandbox):
    """Remembered tags do not hide what was changed below since."""
    volume = sandbox.init("--block-size", "65536")
    with volume.mount() as mount, volume.new_files() as files:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(os.urandom(300000))
    with open(files[0], "r+b") as file:
        file.seek(128 + 65564 - 1)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    refusal = sandbox.run("snapshot", "seal", volume.backing, "a", code=4)
    assert "not authentic" in refusal.stderr
    assert state(volume, volume.backing, "a")["state"] == "open"


def test_what_was_put_back_is_said_before_the_seal(sandbox):
    """An older version is authentic: only what this host remembers of its writing tells."""
    sandbox.allow("not what this host wrote|a: setxattr: not authentic")
    volume = sandbox.init("--block-size", "65536")
    with volume.mount() as mount:
        tree = mount.path / "a" / "sub"
        tree.mkdir(parents=True)
        older = {}

        def write(name, size, change=None):
            """Remember what is below, then change the file in the session that made it, or cut it and write it again."""
            with open(tree / name, "wb") as file:
                file.write(os.urandom(size))
                file.flush()
                os.fsync(file.fileno())
                below = next(path for path in volume.files("a") if path not in older)
                older[below] = below.read_bytes()
                if change:
                    file.seek(70000)
                    file.write(change)
            if not change:
                (tree / name).write_bytes(os.urandom(300000))
            return below

        block = write("block", 300000, b"changed")
        whole = [write("same size", 300000), write("other size", 100000)]
        (tree / "untouched").write_bytes(b"untouched")
        offset = 128 + 65564
        overwrite(block, offset, older[block][offset:offset + 65564])
        for below in whole:
            below.write_bytes(older[below])
        refusal = sandbox.run("snapshot", "seal", mount.path, "a", code=4)
        assert "tampered: a/sub/" in refusal.stderr and "and 2 more files" in refusal.stderr
        assert "--accept-changed" in refusal.stderr
        for said in ("a/sub/block: block 1: tampered", "a/sub/same size: tampered", "a/sub/other size: tampered"):
            assert said in mount.log(), mount.log()
        assert "untouched" not in mount.log()
        refused(errno.EIO, os.setxattr, mount.path / "a", "user.snapcrypt.seal", b"1")
        (tree / "goes on").touch()
    assert "a/sub/" in sandbox.run("snapshot", "seal", volume.backing, "a", code=4).stderr
    done = seal(volume, volume.backing, "a", "--accept-changed")[0]
    assert (done["remembered"], done["reread"]) == (2, 3)
    assert volume.json("verify")["findings"] == []


def test_a_dependency_on_an_open_snapshot_is_named(sandbox, volume):
    with volume.mount() as mount:
        make_tree(mount.path / "a")
        (mount.path / "b").mkdir()
        os.link(mount.path / "a" / "large", mount.path / "b" / "link")
        refusal = sandbox.run("snapshot", "seal", mount.path, "b", code=1)
        assert "linked from a" in refusal.stderr and "--with-dependencies" in refusal.stderr
        (mount.path / "b" / "goes on").touch()
        sandbox.run("snapshot", "seal", mount.path, "b", "--with-dependencies")
        assert {state(volume, mount.path, name)["state"] for name in "ab"} == {"sealed"}


def test_attribute_rename_and_unmount_seal(sandbox, volume):
    name = f'[volume "v"]\nbacking = {volume.backing}\nseal_on = '
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        refused(errno.EINVAL, os.setxattr, mount.path / "a", "user.snapcrypt.seal", b"2")
        os.setxattr(mount.path / "a", "user.snapcrypt.seal", b"1")
        assert state(volume, mount.path, "a")["state"] == "sealed"
        refused(errno.EROFS, (mount.path / "a" / "new").touch)
    sandbox.configure(name + "rename\n")
    with volume.mount() as mount:
        (mount.path / "b.partial").mkdir()
        (mount.path / "b.partial" / "file").write_text("content")
        os.rename(mount.path / "b.partial", mount.path / "b")
        assert state(volume, mount.path, "b")["state"] == "sealed"
        assert (mount.path / "b" / "file").read_text() == "content"
    sandbox.configure(name + "unmount\n")
    with volume.mount() as mount:
        (mount.path / "c").mkdir()
        (mount.path / "c" / "file").write_text("content")
    assert state(volume, volume.backing, "c")["state"] == "sealed"


@pytest.mark.parametrize("attack", ["removed", "exchanged"])
def test_a_seal_that_is_not_there_is_tampering(sandbox, volume, attack):
    sandbox.allow("record")
    with volume.mount() as mount:
        for name in "ab":
            make_tree(mount.path / name)
            seal(volume, mount.path, name)
    seals = volume.control / "seals"
    if attack == "removed":
        (seals / "2").unlink()
    else:
        shutil.copy(seals / "1", seals / "2")
    volume.mount_refused(21)
    assert state(volume, volume.backing, "b")["state"] == "sealed"
    with volume.mount("ro") as mount:
        assert (mount.path / "a" / "large").stat().st_size == 300001
    done = subprocess.run([sandbox.binary, "snapshot", "seal", volume.backing, "b"], capture_output=True,
                          env=sandbox.environment, check=False)
    assert done.returncode == 21
