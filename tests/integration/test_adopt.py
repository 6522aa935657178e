# SPDX-License-Identifier: Apache-2.0
"""Plaintext that was there before: listed, served for reading only, and nothing that is not listed."""

import errno
import json
import os
from pathlib import Path

import pytest

from schema import check

SNAPSHOT = "2019-11-24"


def fill(directory):
    """A plaintext snapshot; the path of its file."""
    directory.mkdir()
    (directory / "below").mkdir()
    (directory / "below" / "file").write_bytes(os.urandom(300000))
    (directory / "link").symlink_to("below/file")
    os.setxattr(directory / "below" / "file", "user.note", b"kept")
    return directory / "below" / "file"


@pytest.fixture
def old(sandbox):
    """A volume made of a directory with a plaintext snapshot, and the content of its file."""
    backing = sandbox.directory("backing")
    content = fill(backing / SNAPSHOT).read_bytes()
    return sandbox.init(backing=backing), content


def row_of(volume, name=SNAPSHOT):
    output = check(volume.json("snapshot list"))
    return next(row for row in output["snapshots"] if row["name"] == name)


def refusals(path):
    """Ways of changing things in a snapshot that do not give EROFS."""
    def attempt(change):
        try:
            change()
        except OSError as error:
            return errno.errorcode[error.errno]
        return "done"
    file = path / "below" / "file"
    changes = {
        "write": lambda: file.write_text("x"), "truncate": lambda: os.truncate(file, 0),
        "create": lambda: (path / "new").write_text("x"), "mkdir": lambda: (path / "new").mkdir(),
        "symlink": lambda: (path / "new").symlink_to("x"), "mkfifo": lambda: os.mkfifo(path / "new"),
        "link": lambda: os.link(file, path / "other"), "rename": lambda: file.rename(path / "other"),
        "unlink": file.unlink, "chmod": lambda: file.chmod(0o600), "utime": lambda: os.utime(file, (0, 0)),
        "setxattr": lambda: os.setxattr(file, "user.x", b"x"),
        "removexattr": lambda: os.removexattr(file, "user.note"),
        "chmod itself": lambda: path.chmod(0o700), "rename itself": lambda: path.rename(path.parent / "other"),
    }
    answers = {name: attempt(change) for name, change in changes.items()}
    return {name: answer for name, answer in answers.items() if answer != "EROFS"}


def test_init_lists_what_was_there_and_mounts_serve_it_for_reading_only(old):
    """S-39: a plaintext snapshot is served as it is, and nothing in it can be changed."""
    volume, content = old
    row = row_of(volume)
    assert (row["state"], row["encryption_key_ids"], row["encryption_key_id"]) == ("open", [], None)
    assert volume.run("snapshot list").stdout.splitlines()[1].endswith("Not enabled")
    for _ in range(2):
        with volume.mount() as mount:
            path = mount.path / SNAPSHOT
            assert (path / "below" / "file").read_bytes() == content
            assert os.readlink(path / "link") == "below/file"
            assert os.listxattr(path / "below" / "file") == ["user.note"]
            assert os.getxattr(path, "user.snapcrypt.key_id") == b"Not enabled"
            assert refusals(path) == {}
            (mount.path / "new").mkdir(exist_ok=True)
            (mount.path / "new" / "file").write_text("encrypted")
            with pytest.raises(OSError) as refusal:
                os.link(path / "below" / "file", mount.path / "new" / "linked")
            assert refusal.value.errno == errno.EXDEV
    assert (volume.backing / SNAPSHOT / "below" / "file").read_bytes() == content


def test_init_refuses_a_snapshot_that_has_lost_its_volume(sandbox, volume):
    with volume.mount() as mount:
        (mount.path / SNAPSHOT).mkdir()
    orphans = sandbox.directory("backing")
    (volume.backing / SNAPSHOT).rename(orphans / SNAPSHOT)
    assert "encrypted snapshot of another volume" in sandbox.run("init", orphans, code=1).stderr
    assert (orphans / SNAPSHOT / ".snapcrypt-id").exists()


@pytest.mark.parametrize("is_mounted", [True, False], ids=["mounted", "unmounted"])
def test_adopt_makes_a_foreign_directory_a_plaintext_snapshot(volume, is_mounted):
    content = fill(volume.backing / SNAPSHOT).read_bytes()
    assert row_of(volume)["state"] == "foreign"
    mount = volume.mount() if is_mounted else None
    if mount:
        volume.sandbox.allow("opendir: access to its key is denied")
        with pytest.raises(PermissionError):
            os.listdir(mount.path / SNAPSHOT)
    assert "--yes" in volume.run("snapshot adopt", SNAPSHOT, code=2).stderr
    planned = check(volume.json("snapshot adopt", SNAPSHOT, "--dry-run"))
    assert planned["dry_run"] and planned["snapshots"] == [{"name": SNAPSHOT, "id": None, "adopted": False}]
    assert row_of(volume)["state"] == "foreign"
    adopted = check(volume.json("snapshot adopt", SNAPSHOT, "--yes"))["snapshots"][0]
    assert adopted["adopted"] and row_of(volume)["id"] == adopted["id"]
    assert row_of(volume)["encryption_key_id"] is None and row_of(volume)["state"] == "open"
    if mount:
        assert (mount.path / SNAPSHOT / "below" / "file").read_bytes() == content
        assert refusals(mount.path / SNAPSHOT) == {}
        mount.umount()
    listed = check(volume.json("volume show"))
    assert listed["plaintext_snapshots"] == [{"id": adopted["id"], "name": SNAPSHOT}]
    assert listed["pinned"] and listed["origin_verified"]
    with volume.mount() as again:
        assert (again.path / SNAPSHOT / "below" / "file").read_bytes() == content
    assert not check(volume.json("snapshot adopt", SNAPSHOT, "--yes"))["snapshots"][0]["adopted"]
    volume.run("verify")


def test_adopt_goes_on_where_it_was_interrupted(volume):
    fill(volume.backing / SNAPSHOT)
    first = volume.json("snapshot adopt", SNAPSHOT, "--yes")["snapshots"][0]
    (volume.backing / SNAPSHOT / ".snapcrypt-id").unlink()
    assert row_of(volume)["state"] == "foreign"
    assert volume.json("snapshot adopt", SNAPSHOT, "--yes")["snapshots"][0] == first
    assert len(volume.json("volume show")["plaintext_snapshots"]) == 1


def test_adopt_refuses_what_is_not_known_to_be_plaintext(sandbox, volume):
    with volume.mount() as mount:
        for name in ("whole", "stripped"):
            (mount.path / name).mkdir()
            (mount.path / name / "file").write_text("secret")
    (volume.backing / "stripped" / ".snapcrypt-id").rename(sandbox.root / "kept")
    assert "encrypted file" in volume.run("snapshot adopt", "stripped", "-y", code=5).stderr
    (sandbox.root / "kept").rename(volume.backing / "stripped" / ".snapcrypt-id")
    assert "is an encrypted snapshot" in volume.run("snapshot adopt", "whole", "-y", code=2).stderr
    fill(volume.backing / SNAPSHOT)
    (volume.backing / SNAPSHOT / "below" / ".snapcrypt-id").write_text("{}")
    done = volume.run("snapshot adopt", SNAPSHOT, "-y", code=5)
    assert "below/.snapcrypt-id has a name of snapcrypt's own" in done.stderr and "stays foreign" in done.stderr
    (volume.backing / SNAPSHOT / "below" / ".snapcrypt-id").unlink()
    volume.run("snapshot adopt", "nothing", "-y", code=1)
    sandbox.configure(f'[volume "v"]\nbacking = {volume.backing}\n'
                      f"plaintext_snapshots = 00000000-0000-4000-8000-000000000000=x\n")
    assert "plaintext_snapshots" in volume.run("snapshot adopt", SNAPSHOT, "-y", code=2).stderr
    sandbox.configure("")
    assert volume.json("volume show")["plaintext_snapshots"] == []
    bare = sandbox.init("--encryption", "off")
    (bare.backing / "d").mkdir()
    assert "--encryption off" in bare.run("snapshot adopt", "d", "-y", code=2).stderr


def test_a_listed_identity_in_another_directory_is_foreign(old):
    """The list has ids and names: neither alone makes a directory plaintext."""
    volume, _ = old
    (volume.backing / SNAPSHOT).rename(volume.backing / "elsewhere")
    assert row_of(volume, "elsewhere")["state"] == "foreign"
    fill(volume.backing / SNAPSHOT)
    assert row_of(volume)["state"] == "foreign"
