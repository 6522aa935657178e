# SPDX-License-Identifier: Apache-2.0
"""A full filesystem below: writers learn of it, files stay whole, deleting makes room."""

import errno
import os
import subprocess

import pytest
from trees import run

pytestmark = pytest.mark.serial


@pytest.fixture
def small_filesystem(sandbox):
    """ext4 of 16 MiB on a loop device."""
    image, path = sandbox.root / "image", sandbox.directory("loop")
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    run("mkfs.ext4", "-q", image)
    run("mount", "-o", "loop", image, path)
    yield path
    subprocess.run(["umount", "-l", path], check=False)


def fill(directory):
    """Write files until there is no room; what each of them should hold, as far as it was acknowledged."""
    acknowledged = {}
    for number in range(1000):
        path = directory / f"file-{number}"
        content = os.urandom(300_000)
        try:
            with open(path, "wb", buffering=0) as file:
                acknowledged[path] = (content, 0)
                for offset in range(0, len(content), 50_000):
                    written = file.write(content[offset:offset + 50_000])
                    acknowledged[path] = (content, offset + written)
                os.fsync(file.fileno())
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            return acknowledged
    raise AssertionError("the filesystem never filled up")


def test_a_full_filesystem(sandbox, small_filesystem):
    sandbox.allow("No space|ENOSPC|space")
    volume = sandbox.init(backing=small_filesystem / "volume")
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        files = fill(mount.path / "s")
        assert len(files) > 10
        for path, (content, size) in list(files.items())[:-1]:
            assert path.read_bytes() == content
        last = list(files)[-1]
        if last.exists():
            found = last.read_bytes()
            assert found == files[last][0][:len(found)]
        # An overwrite of what is synced has to fail honestly or succeed; never damage.
        first = list(files)[0]
        try:
            with open(first, "r+b", buffering=0) as file:
                file.write(b"overwritten")
                os.fsync(file.fileno())
            assert first.read_bytes() == b"overwritten" + files[first][0][11:]
        except OSError as error:
            assert error.errno == errno.ENOSPC
            assert first.read_bytes() in (files[first][0], b"overwritten" + files[first][0][11:])
        for path in list(files)[1:-1]:
            path.unlink()
        (mount.path / "s" / "room").write_bytes(b"r" * 1_000_000)
        assert (mount.path / "s" / "room").read_bytes() == b"r" * 1_000_000
    with volume.mount("ro") as mount:
        assert (mount.path / "s" / "room").read_bytes() == b"r" * 1_000_000
