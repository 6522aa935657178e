# SPDX-License-Identifier: Apache-2.0
"""Existing jobs: rsync, cp and tar put an odd tree into the mount and get it back bit for bit."""

import os
import subprocess

import pytest
from trees import assert_same, make_odd_tree, run

NAMES = ["encrypted", "plain"]


@pytest.fixture(params=NAMES)
def any_volume(sandbox, request):
    return sandbox.init("--names", request.param)


@pytest.fixture
def tree(sandbox):
    root = sandbox.root / "source"
    make_odd_tree(root)
    return root


def rsync(source, target):
    return run("rsync", "-aHAXS", "--itemize-changes", f"{source}/", f"{target}/")


def copy(source, target):
    target.mkdir(exist_ok=True)
    run("cp", "-a", f"{source}/.", f"{target}/")


def tar(source, target):
    target.mkdir(exist_ok=True)
    pipe = (f"tar -C '{source}' --xattrs --xattrs-include='*' --acls --selinux --sparse --numeric-owner -cf - . | "
            f"tar -C '{target}' --xattrs --xattrs-include='*' --acls --numeric-owner -xpf -")
    subprocess.run(["bash", "-o", "pipefail", "-c", pipe], check=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("job", [rsync, copy, tar], ids=lambda job: job.__name__)
def test_an_odd_tree_comes_back_bit_for_bit(sandbox, any_volume, tree, job):
    """S: everything a backup tool can set is stored and given back, also by a daemon that did not write it."""
    if job is tar:
        # tar does not store sockets.
        (tree / "socket").unlink()
        os.utime(tree, ns=(4 * 10**17 + 4,) * 2)
    with any_volume.mount() as mount:
        job(tree, mount.path / "snapshot")
        assert_same(tree, mount.path / "snapshot")
    with any_volume.mount("ro") as mount:
        assert_same(tree, mount.path / "snapshot")
        job(mount.path / "snapshot", sandbox.root / "restored")
    assert_same(tree, sandbox.root / "restored")


def test_a_second_rsync_transfers_nothing(volume, tree):
    with volume.mount() as mount:
        rsync(tree, mount.path / "snapshot")
        assert rsync(tree, mount.path / "snapshot") == ""
    with volume.mount() as mount:
        assert rsync(tree, mount.path / "snapshot") == ""


def test_sparse_files_stay_sparse(volume, tree):
    with volume.mount() as mount:
        rsync(tree, mount.path / "snapshot")
        status = os.stat(mount.path / "snapshot" / "sparse")
        assert status.st_size == 20 << 20
        assert status.st_blocks * 512 < 4 << 20
