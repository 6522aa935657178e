# SPDX-License-Identifier: Apache-2.0
"""restore: everything comes back, straight through the engine; what it refuses; what interrupts it."""

import os
import random
import shutil
import signal
import stat
import subprocess
import time

import pytest
import schema
from snapcrypt import cut, flip
from trees import assert_same, make_database_tree, make_odd_tree, run

NAME = "2026-11-24"


@pytest.fixture
def volume(sandbox):
    """With blocks of the size that the offsets here are for."""
    return sandbox.init("--block-size", "65536")


def back_up(volume, source, name=NAME):
    """The snapshot NAME with what is in SOURCE."""
    with volume.mount() as mount:
        run("cp", "-a", source, mount.path / name)


@pytest.fixture
def source(sandbox):
    tree = sandbox.root / "source"
    make_odd_tree(tree)
    return tree


def restore(volume, target, *options, name=NAME, **more):
    return volume.sandbox.run("restore", volume.backing, name, target, "--unsealed", *options, **more)


def test_everything_comes_back(volume, source, sandbox):
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        run("cp", "-aT", source, mount.path / NAME)
    target = sandbox.root / "target"
    output = schema.check(sandbox.json("restore", volume.backing, NAME, target, "--unsealed", "--verify"))
    assert_same(source, target)
    assert output["failures"] == 0 and output["findings"] == [] and output["verified"]
    assert output["links"] == 2 and output["snapshot"]["state"] == "open"
    sparse = os.stat(target / "sparse")
    assert sparse.st_blocks * 512 < sparse.st_size / 2
    assert os.stat(target).st_mtime_ns == os.stat(source).st_mtime_ns
    assert not (target / ".snapcrypt-restore.json").exists()


def test_not_sealed_is_refused(volume, source, sandbox):
    back_up(volume, source)
    target = sandbox.root / "target"
    said = sandbox.run("restore", volume.backing, NAME, target, code=20).stderr
    assert "--unsealed" in said and "snapshot seal" in said
    assert not target.exists()


def test_target_that_is_not_empty(volume, source, sandbox):
    back_up(volume, source)
    target = sandbox.directory("target")
    (target / "other").write_text("mine")
    (target / "plain.txt").write_text("old")
    assert "--force" in restore(volume, target, code=2).stderr
    assert (target / "plain.txt").read_text() == "old"
    restore(volume, target, "--force")
    assert (target / "other").read_text() == "mine"
    (target / "other").unlink()
    os.utime(target, ns=(os.stat(source).st_mtime_ns,) * 2)
    assert_same(source, target)


def test_target_inside_the_backing_directory_is_refused(volume, source, sandbox):
    back_up(volume, source)
    for place in (volume.backing / "out", volume.backing / NAME / "out"):
        assert "inside" in restore(volume, place, code=2).stderr
        assert not place.exists()


def test_include_and_exclude(volume, sandbox):
    tree = sandbox.root / "tree"
    for path in ("a/one.txt", "a/two.bin", "b/c/three.txt", "b/four.bin", "top.txt"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(path)
    back_up(volume, tree)

    def restored(*options):
        target = sandbox.directory("target")
        restore(volume, target, *options)
        return sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())

    assert restored("--include", "*.txt") == ["a/one.txt", "b/c/three.txt", "top.txt"]
    assert restored("--include", "/b") == ["b/c/three.txt", "b/four.bin"]
    assert restored("--exclude", "b") == ["a/one.txt", "a/two.bin", "top.txt"]
    assert restored("--include", "a/*", "--exclude", "*.bin") == ["a/one.txt"]
    target = sandbox.directory("target")
    restore(volume, target, "--include", "c")
    assert not (target / "a").exists()


def test_dry_run_writes_nothing(volume, source, sandbox):
    back_up(volume, source)
    target = sandbox.root / "target"
    output = schema.check(sandbox.json("restore", volume.backing, NAME, target, "--unsealed", "-n"))
    assert output["dry_run"] and output["files"] > 10 and not target.exists()


def test_links_planted_in_the_target_are_not_followed(volume, sandbox):
    tree = sandbox.root / "tree"
    (tree / "directory").mkdir(parents=True)
    (tree / "directory" / "file").write_text("restored")
    (tree / "file").write_text("restored")
    back_up(volume, tree)
    outside = sandbox.directory("outside")
    (outside / "victim").write_text("untouched")
    target = sandbox.directory("target")
    (target / "directory").symlink_to(outside)
    (target / "file").symlink_to(outside / "victim")
    restore(volume, target, "--force")
    assert_same(tree, target)
    assert os.listdir(outside) == ["victim"] and (outside / "victim").read_text() == "untouched"


def test_a_file_that_is_not_authentic_is_left_out(volume, sandbox):
    tree = sandbox.root / "tree"
    tree.mkdir()
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        with volume.new_files() as made:
            (mount.path / NAME / "bad").write_bytes(random.Random(1).randbytes(300_000))
        with volume.new_files() as unfinished:
            (mount.path / NAME / "unfinished").write_bytes(b"x" * 65536)
        (mount.path / NAME / "good").write_text("good")
    flip(made[0], 200_000)
    cut(unfinished[0], os.stat(unfinished[0]).st_size - 20)
    target = sandbox.root / "target"
    output = schema.check(sandbox.json("restore", volume.backing, NAME, target, "--unsealed", code=4))
    found = {(finding["path"], finding["class"]): finding["block"] for finding in output["findings"]}
    assert found == {("bad", "tampered"): 3, ("unfinished", "unterminated"): None}
    assert os.listdir(target) == ["good"] and output["failures"] == 2


def test_names_that_do_not_decrypt_are_counted(volume, source, sandbox):
    back_up(volume, source)
    file = next(path for path in (volume.backing / NAME).iterdir()
                if stat.S_ISREG(path.lstat().st_mode) and not path.name.startswith("."))
    shutil.copy(file, volume.backing / NAME / "AAAAAAAAAAAAAAAAAAAAAAAA")
    target = sandbox.root / "target"
    output = sandbox.json("restore", volume.backing, NAME, target, "--unsealed", code=4)
    assert output["hidden_names"] == 1 and output["failures"] == 0
    os.utime(target, ns=(os.stat(source).st_mtime_ns,) * 2)
    assert_same(source, target)


def test_large_and_many_files(volume, sandbox):
    tree = sandbox.root / "tree"
    make_database_tree(tree)
    (tree / "large").write_bytes(random.Random(3).randbytes(40 << 20))
    with open(tree / "large and sparse", "wb") as file:
        for place in (0, 9 << 20, 30 << 20):
            file.seek(place)
            file.write(random.Random(place).randbytes(3 << 20))
        file.truncate(45 << 20)
    (tree / "many").mkdir()
    for number in range(1000):
        (tree / "many" / str(number)).write_text(str(number))
    back_up(volume, tree)
    for threads in ("1", "8"):
        target = sandbox.root / f"target{threads}"
        restore(volume, target, "--threads", threads)
        assert_same(tree, target)


def test_killed_and_resumed_is_identical(volume, sandbox):
    tree = sandbox.root / "tree"
    make_odd_tree(tree)
    make_database_tree(tree / "database", files=30)
    (tree / "large").write_bytes(random.Random(3).randbytes(30 << 20))
    os.link(tree / "large", tree / "database" / "large again")
    back_up(volume, tree)
    target = sandbox.root / "target"
    draw = random.Random(5)
    kills = 0
    for _ in range(8):
        process = subprocess.Popen([sandbox.binary, "restore", volume.backing, NAME, target, "--unsealed", "-q"],
                                   env=sandbox.environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (target / ".snapcrypt-restore.json").exists():
            time.sleep(0.002)
        time.sleep(draw.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            kills += 1
        if target.exists() and not (target / ".snapcrypt-restore.json").exists() and process.returncode == 0:
            break
    restore(volume, target, *(() if (target / ".snapcrypt-restore.json").exists() else ("--force",)))
    assert kills > 0
    assert_same(tree, target)


def test_progress_is_printed_at_sigusr1(volume, sandbox):
    tree = sandbox.root / "tree"
    tree.mkdir()
    for number in range(6):
        (tree / str(number)).write_bytes(random.Random(number).randbytes(20 << 20))
    back_up(volume, tree)
    process = subprocess.Popen([sandbox.binary, "restore", volume.backing, NAME, sandbox.root / "target", "--unsealed"],
                               env=sandbox.environment, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (sandbox.root / "target").exists():
        time.sleep(0.005)
    time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "restored" in said and "/s" in said and "left" in said


def test_key_states_have_their_codes(sandbox, source):
    volume = sandbox.init()
    back_up(volume, source)
    keyring = sandbox.state / "keyring"
    target = sandbox.root / "target"
    key = sandbox.json("keyring", "list", keyring)["keys"][0]["id"]
    sandbox.run("keyring", "disable", keyring, key)
    assert "disabled" in restore(volume, target, code=12).stderr
    sandbox.run("keyring", "enable", keyring, key)
    sandbox.run("keyring", "delete", keyring, key, "--yes")
    restore(volume, target, code=17)
    assert not target.exists()


def test_another_host_needs_only_the_keyring(sandbox, volume, source):
    back_up(volume, source)
    elsewhere = sandbox.directory("host")
    shutil.copy(sandbox.state / "keyring", elsewhere / "copied")
    environment = {"SNAPCRYPT_STATE_DIR": str(elsewhere / "state")}
    target = sandbox.root / "target"
    assert "--keyring" in restore(volume, target, env=environment, code=19).stderr
    assert not target.exists()
    done = restore(volume, target, "--keyring", "copied", env=environment, cwd=elsewhere)
    assert "origin not verified" in done.stderr
    assert_same(source, target)
    sandbox.configure("[global]\nrequire_trusted_origin = yes\n")
    again = sandbox.root / "again"
    restore(volume, again, "--keyring", elsewhere / "copied", env=environment, code=21)
    assert not again.exists()


def test_unencrypted_snapshot_can_be_refused(sandbox):
    backing = sandbox.directory("backing")
    (backing / "old").mkdir()
    (backing / "old" / "file").write_text("plain")
    volume = sandbox.init(backing=backing)
    target = sandbox.root / "target"
    said = sandbox.run("restore", volume.backing, "old", target, "--require-encryption", code=5).stderr
    assert "not encrypted" in said and not target.exists()
    sandbox.run("restore", volume.backing, "old", target)
    assert (target / "file").read_text() == "plain"
    assert stat.S_ISREG(os.lstat(target / "file").st_mode)


def test_without_room_nothing_is_written(volume, sandbox):
    small = sandbox.directory("small")
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small)
    try:
        tree = sandbox.root / "tree"
        tree.mkdir()
        (tree / "large").write_bytes(random.Random(1).randbytes(8 << 20))
        back_up(volume, tree)
        said = restore(volume, small / "target", code=1).stderr
        assert "needed" in said and os.listdir(small) == []
    finally:
        run("umount", small)
