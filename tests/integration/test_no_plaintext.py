# SPDX-License-Identifier: Apache-2.0
"""Nothing readable reaches the backing directory."""

import json
import os
import base64
from pathlib import Path

MARKER = "SECRETMARKER0123"


def plant(root):
    """Markers of 16 bytes everywhere that a user can put bytes."""
    root.mkdir()
    (root / f"name-{MARKER}").write_bytes(b"x")
    (root / f"{MARKER}-directory").mkdir()
    (root / (MARKER * 15)).write_bytes(b"a long name")
    (root / "content").write_bytes(b"." * 70000 + MARKER.encode() + b"." * 70000)
    (root / "small").write_bytes(MARKER.encode())
    (root / "link").symlink_to(f"/somewhere/{MARKER}")
    os.setxattr(root / "content", "user.note", MARKER.encode())
    os.setxattr(root / "content", f"user.{MARKER}", b"1")
    os.setxattr(root / f"{MARKER}-directory", "user.note", MARKER.encode())
    os.setxattr(root / "content", "trusted.note", MARKER.encode())
    with open(root / "journaled", "wb") as file:
        file.write(bytes(100_000))
        file.flush()
        os.fsync(file.fileno())
        file.seek(5000)
        file.write(MARKER.encode())
        file.flush()
        os.fsync(file.fileno())


def everything_stored(root):
    """Every byte below: names, contents, targets, attribute names and values."""
    for directory, directories, names in os.walk(os.fsencode(root)):
        for name in directories + names:
            path = os.path.join(directory, name)
            yield path, name
            if os.path.islink(path):
                yield path, os.readlink(path)
            elif os.path.isfile(path):
                yield path, Path(os.fsdecode(path)).read_bytes()
            for attribute in os.listxattr(path, follow_symlinks=False):
                yield path, attribute.encode() + b"\0" + os.getxattr(path, attribute, follow_symlinks=False)


def key_bytes(keyring):
    """The keys of the embedded keyring, as stored and as bytes."""
    for key in json.loads(keyring.read_text())["keys"]:
        raw = base64.urlsafe_b64decode(key["key"] + "=")
        assert len(raw) == 32
        yield from (raw, key["key"].encode(), raw.hex().encode())


def test_no_marker_and_no_key_is_stored(sandbox, volume):
    with volume.mount() as mount:
        plant(mount.path / "snapshot")
        # While it is mounted, too: the journal may hold what is not yet in place.
        needles = [MARKER.encode(), MARKER.lower().encode(), base64.b64encode(MARKER.encode())[:20],
                   *key_bytes(sandbox.state / "keyring")]
        for _ in range(2):
            count = 0
            for path, stored in everything_stored(volume.backing):
                count += 1
                for needle in needles:
                    assert needle not in stored, f"{needle!r} in {path!r}"
            assert count > 20
            if mount.is_running():
                mount.umount()


def test_snapshot_names_are_plain_by_definition(volume):
    with volume.mount() as mount:
        (mount.path / "2026-11-24").mkdir()
    assert (volume.backing / "2026-11-24").is_dir()
