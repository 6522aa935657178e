# SPDX-License-Identifier: Apache-2.0
"""The independent decoder reads from the backing directory what the mount shows."""

import base64
import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys

import pytest
from decoder.keyring import Keyring
from decoder.volume import Volume as Decoded
from trees import make_odd_tree, run

DECODER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "decoder")


def decode(volume, replay=False):
    keyring = Keyring(volume.sandbox.state / "keyring")
    return Decoded(volume.backing, keyrings=[keyring], replay=replay)


def look(path):
    """An object of the mount, in the decoder's words."""
    info = os.lstat(path)
    seen = {"type": stat.S_IFMT(info.st_mode), "mode": info.st_mode & 0o7777, "uid": info.st_uid,
            "gid": info.st_gid, "mtime_ns": info.st_mtime_ns}
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            seen["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        seen["size"] = info.st_size
        seen["nlink"] = info.st_nlink
    elif stat.S_ISLNK(info.st_mode):
        seen["target"] = os.fsdecode(os.readlink(path))
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        seen["device"] = [os.major(info.st_rdev), os.minor(info.st_rdev)]
    seen["xattrs"] = {name: base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
                      for name in os.listxattr(path, follow_symlinks=False)}
    return seen


def assert_agrees(decoded, root):
    """Everything that the decoder finds is in the mount, the same, and the other way round."""
    root = os.fsencode(root)
    tree = {os.fsencode(item["path"]): item for item in decoded.walk()}
    assert decoded.findings == []
    for path, item in tree.items():
        seen = look(os.path.join(root, path))
        assert {name: item[name] for name in seen} == seen, path
    shown = {os.path.relpath(os.path.join(directory, name), root)
             for directory, below, names in os.walk(root) for name in (*below, *names)}
    assert set(tree) == shown
    return tree


def test_decoder_reads_an_odd_tree_with_every_kind_of_object(sandbox, volume):
    source = sandbox.root / "source"
    make_odd_tree(source)
    with volume.mount() as mount:
        for name in ("first", "second"):
            (mount.path / name).mkdir()
        run("rsync", "-aHAXS", f"{source}/", mount.path / "first")
        run("rsync", "-aHAX", f"--link-dest={mount.path}/first", f"{source}/", mount.path / "second")
        (mount.path / "latest").symlink_to("second")
        (mount.path / "file in the root").write_bytes(b"root")
        os.rename(mount.path / "first" / "sparse", mount.path / "second" / "moved")
        tree = assert_agrees(decode(volume), mount.path)
    assert len(tree) > 50
    deks = {item["dek"] for item in tree.values() if item["path"].startswith("second/") and "dek" in item}
    needed = {path.parent.parent.name for path in volume.control.glob("keys/*/needed-by/*")}
    assert deks & needed


@pytest.mark.parametrize("options", [("--algorithm", "chacha20-poly1305", "--block-size", "4K"),
                                     ("--names", "plain"), ("--encryption", "off"),
                                     ("--snapshot-depth", "2")], ids=lambda options: options[1])
def test_decoder_reads_every_kind_of_volume(sandbox, options):
    volume = sandbox.init(*options)
    with volume.mount() as mount:
        place = mount.path / "group" / "snapshot"
        place.mkdir(parents=True)
        (place / "file").write_bytes(bytes(range(256)) * 100)
        (place / ("n" * 255)).write_bytes(b"long name")
        (place / "link").symlink_to("file")
        os.setxattr(place / "file", "user.a", b"value")
        with open(place / "file", "r+b") as file:
            file.truncate(100_000)
        decoded = decode(volume) if options[1] != "off" else Decoded(volume.backing)
        assert_agrees(decoded, mount.path)


def test_decoder_replays_the_journal_of_a_killed_mount(volume):
    mount = volume.mount()
    path = mount.path / "s" / "file"
    path.parent.mkdir()
    path.write_bytes(os.urandom(300_000))
    file = os.open(path, os.O_RDWR)
    os.fsync(file)
    for offset in range(0, 290_000, 7919):
        os.pwrite(file, b"overwritten" * 30, offset)
        os.fsync(file)
    os.ftruncate(file, 200_001)
    os.fsync(file)
    expected = path.read_bytes()
    mount.kill()
    with contextlib.suppress(OSError):
        os.close(file)
    decoded = decode(volume, replay=True)
    assert decoded.journal_records
    items = {item["path"]: item for item in decoded.walk()}
    assert decoded.findings == []
    assert items["s/file"]["sha256"] == hashlib.sha256(expected).hexdigest()


def test_decoder_is_a_program(volume):
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"content")
    done = subprocess.run([sys.executable, DECODER, volume.backing, "--keyring",
                           volume.sandbox.state / "keyring"], capture_output=True, text=True, check=True)
    paths = [item["path"] for item in json.loads(done.stdout)["tree"]]
    assert paths == ["s", "s/file"]
    done = subprocess.run([sys.executable, DECODER, volume.backing], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1
