# SPDX-License-Identifier: Apache-2.0
"""rsync --link-dest over several snapshots."""

import os
import shutil

from trees import assert_same, make_database_tree, run


def backup(source, root, name, previous=None):
    link = [f"--link-dest=../{previous}"] if previous else []
    run("rsync", "-aHAX", *link, f"{source}/", f"{root / name}/")


def test_links_across_snapshots_outlive_the_first_one(sandbox, volume):
    source = sandbox.root / "source"
    make_database_tree(source)
    unchanged, changed = source / "base/16384/0", source / "small-0.conf"
    copies = {}
    with volume.mount() as mount:
        for previous, name in ((None, "1"), ("1", "2"), ("2", "3")):
            # Another size: within one second rsync sees no other difference.
            changed.write_bytes(name.encode() * (1000 + int(name)))
            backup(source, mount.path, name, previous)
            copies[name] = sandbox.root / f"copy-{name}"
            shutil.copytree(source, copies[name], symlinks=True)
        stats = [os.stat(mount.path / name / unchanged.relative_to(source)) for name in copies]
        assert len({status.st_ino for status in stats}) == 1
        assert {status.st_nlink for status in stats} == {3}
    with volume.mount() as mount:
        for name, expected in copies.items():
            run("diff", "-r", expected, mount.path / name)
        shutil.rmtree(mount.path / "1")
        assert sorted(os.listdir(mount.path)) == ["2", "3"]
    with volume.mount("ro") as mount:
        for name in ("2", "3"):
            run("diff", "-r", copies[name], mount.path / name)
        assert_same(source, mount.path / "3")


def test_a_linked_file_keeps_its_own_key(sandbox, volume):
    """The younger snapshot lists every key that it depends on."""
    with volume.mount() as mount:
        (mount.path / "1").mkdir()
        (mount.path / "1" / "file").write_bytes(b"first")
        (mount.path / "2").mkdir()
        os.link(mount.path / "1" / "file", mount.path / "2" / "file")
        ids = [os.getxattr(mount.path / name / "file", "user.snapcrypt.data_key_id") for name in ("1", "2")]
        assert ids[0] == ids[1]
        own = os.getxattr(mount.path / "2", "user.snapcrypt.data_key_id")
        assert own != ids[0]
    markers = list(volume.control.glob(f"keys/{ids[0].decode()}/needed-by/*"))
    assert len(markers) == 1


def test_directories_never_move_across_snapshots(volume):
    with volume.mount() as mount:
        (mount.path / "1" / "sub").mkdir(parents=True)
        (mount.path / "2").mkdir()
        for source, target in (("1/sub", "2/sub"), ("1/sub", "sub"), ("1", "2/inside")):
            try:
                os.rename(mount.path / source, mount.path / target)
            except OSError as error:
                assert error.errno == 18, error
            else:
                raise AssertionError(f"{source} moved to {target}")
