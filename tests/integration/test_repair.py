# SPDX-License-Identifier: Apache-2.0
"""repair: what it puts right, what it leaves, and that it never makes anything up."""

import os
import random

import pytest
import schema
from snapcrypt import cut, flip
from trees import run

NAME = "2026-11-24"
BLOCK = 65536 + 28


@pytest.fixture
def volume(sandbox):
    """With blocks of the size that the offsets here are for."""
    return sandbox.init("--block-size", "65536")


@pytest.fixture
def damaged(volume):
    """A volume with files that can be found below: name -> (backing path, content)."""
    files = {}
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        for name, size in (("cut", 200_000), ("exact", 131_072), ("bad", 200_000), ("head", 100), ("good", 70_000)):
            content = random.Random(name).randbytes(size)
            with volume.new_files() as made:
                (mount.path / NAME / name).write_bytes(content)
            files[name] = made[0], content
    return volume, files


def repair(volume, *arguments, code=0):
    return schema.check(volume.json("repair", *arguments, "--yes", code=code))


def actions(output):
    return sorted((action["path"], action["action"]) for action in output["actions"])


def test_nothing_to_do(damaged):
    volume, _ = damaged
    output = repair(volume)
    assert output["actions"] == [] and output["findings"] == [] and output["key_records"] == 0


def test_files_without_an_end_are_terminated(damaged):
    volume, files = damaged
    cut(files["cut"][0], 128 + 2 * BLOCK + 20)
    cut(files["exact"][0], 128 + 2 * BLOCK)
    times = os.stat(files["cut"][0]).st_mtime_ns
    plan = schema.check(volume.json("repair", "--dry-run"))
    assert actions(plan) == [("cut", "terminate"), ("exact", "terminate")]
    assert os.stat(files["cut"][0]).st_size == 128 + 2 * BLOCK + 20
    output = repair(volume)
    assert actions(output) == actions(plan) and all(action["done"] for action in output["actions"])
    assert volume.json("verify")["findings"] == []
    assert os.stat(files["cut"][0]).st_mtime_ns == times
    with volume.mount("ro") as mount:
        assert (mount.path / NAME / "cut").read_bytes() == files["cut"][1][:131_072]
        assert (mount.path / NAME / "exact").read_bytes() == files["exact"][1]
        assert (mount.path / NAME / "good").read_bytes() == files["good"][1]


def test_what_is_not_ours_is_moved_aside_and_bad_blocks_stay(damaged):
    volume, files = damaged
    flip(files["head"][0], 80)
    flip(files["bad"][0], 128 + 3 * BLOCK + 5)
    (volume.backing / NAME / "plaintext").write_text("never encrypted")
    output = repair(volume, code=4)
    assert set(actions(output)) == {("head", "quarantine"), ("", "quarantine-names")}
    assert output["not_repairable"] == 1
    aside = {path.name: path for path in (volume.control / "quarantine").glob("*/*")}
    assert set(aside) == {files["head"][0].name, "plaintext"}
    assert aside["plaintext"].read_text() == "never encrypted"
    left = volume.json("verify", code=4)["findings"]
    assert [(finding["path"], finding["block"]) for finding in left] == [("bad", 3)]


def test_a_torn_end_after_a_crash(sandbox, volume):
    with volume.new_files() as made:
        mount = volume.mount()
        (mount.path / NAME).mkdir()
        content = random.Random(1).randbytes(100_000)
        (mount.path / NAME / "log").write_bytes(content)
        mount.kill()
    flip(made[0], -3)
    assert [finding["class"] for finding in volume.json("verify", code=4)["findings"]] == ["torn"]
    output = repair(volume)
    assert actions(output) == [("log", "cut")]
    kept = next((volume.control / "quarantine").glob("*/*"))
    assert kept.stat().st_size == 100_000 - 65536 + 28
    sandbox.allow("incomplete")
    with volume.mount("ro") as mount:
        assert (mount.path / NAME / "log").read_bytes() == content[:65536]


def test_index_attributes_are_written_again(sandbox, damaged):
    volume, files = damaged
    copy = sandbox.directory("copy")
    run("cp", "-r", "--preserve=mode,ownership,timestamps", f"{volume.backing}/.", copy)
    copied = sandbox.open(copy)
    # One on each file, one on the snapshot's directory.
    assert copied.json("verify")["notices"] == len(files) + 1
    output = repair(copied)
    assert {action["action"] for action in output["actions"]} == {"index"}
    assert len(output["actions"]) == len(files) + 1
    assert copied.json("verify")["findings"] == []
    key_id = copied.json("snapshot show", NAME)["snapshots"][0]["encryption_key_id"].encode()
    assert os.getxattr(copy / NAME, "user.snapcrypt.key_id") == key_id
    os.setxattr(copy / NAME, "user.snapcrypt.key_id", b"keyring:another#key")
    for arguments in ((), ("--structure",)):
        left = copied.json("verify", *arguments, code=4)["findings"]
        assert [(finding["class"], finding["snapshot"], finding["path"]) for finding in left] == [("index", NAME, "")]
    repair(copied)
    assert os.getxattr(copy / NAME, "user.snapcrypt.key_id") == key_id


def test_left_over_sidecars_keys_and_markers(volume):
    with volume.mount() as mount:
        for name in ("a", "b"):
            (mount.path / name).mkdir()
        (mount.path / "a" / "file").write_text("linked")
        os.link(mount.path / "a" / "file", mount.path / "b" / "file")
        (mount.path / "b" / ("x" * 250)).write_text("long")
    sidecar = next((volume.backing / "b").glob("*.name"))
    sidecar.with_suffix("").unlink()
    kept = repair(volume)
    assert kept["sidecars"] == 1 and not sidecar.exists()
    assert (kept["key_records"], kept["markers"]) == (0, 0)
    with volume.mount() as mount:
        (mount.path / "b" / "file").unlink()
    assert repair(volume)["markers"] == 1
    keys = len(list((volume.control / "keys").iterdir()))
    with volume.mount() as mount:
        run("rm", "-rf", mount.path / "a")
    assert repair(volume)["key_records"] == 1
    assert len(list((volume.control / "keys").iterdir())) == keys - 1
    with volume.mount("ro") as mount:
        assert os.listdir(mount.path) == ["b"]


def test_asks_and_needs_the_lock(damaged):
    volume, files = damaged
    cut(files["cut"][0], 128 + BLOCK)
    assert "--yes" in volume.run("repair", code=2).stderr
    assert os.stat(files["cut"][0]).st_size == 128 + BLOCK
    with volume.mount():
        volume.run("repair", "--yes", code=11)
