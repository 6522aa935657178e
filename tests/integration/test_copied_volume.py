# SPDX-License-Identifier: Apache-2.0
"""A copy of the backing directory without extended attributes is a volume."""

import os
import subprocess

import pytest
from trees import make_database_tree, run


@pytest.fixture
def ramfs(sandbox):
    """A filesystem without extended attributes."""
    path = sandbox.directory("ramfs")
    run("mount", "-t", "ramfs", "ramfs", path)
    with pytest.raises(OSError):
        (path / "probe").write_bytes(b"")
        os.setxattr(path / "probe", "user.x", b"1")
    (path / "probe").unlink()
    yield path
    subprocess.run(["umount", "-l", path], check=False)


def test_a_copy_without_attributes_restores(sandbox, volume, ramfs):
    source = sandbox.root / "source"
    make_database_tree(source)
    (source / ("long-" * 45)).write_bytes(b"a long name")
    (source / "link").symlink_to("a/target")
    with volume.mount() as mount:
        run("cp", "-a", source, mount.path / "snapshot")
    run("cp", "-r", volume.backing, ramfs / "copy")
    copy = sandbox.open(ramfs / "copy")
    with copy.mount("ro") as mount:
        run("diff", "-r", "--no-dereference", source, mount.path / "snapshot")
    with copy.mount() as mount:
        (mount.path / "snapshot" / "new").write_bytes(b"also writable")
        (mount.path / "another").mkdir()
    with copy.mount("ro") as mount:
        assert (mount.path / "snapshot" / "new").read_bytes() == b"also writable"
