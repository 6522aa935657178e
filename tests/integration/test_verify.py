# SPDX-License-Identifier: Apache-2.0
"""verify: what it finds in open snapshots and records, with path, block and class; and what is no finding."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest
import schema
from snapcrypt import cut, flip, overwrite
from trees import make_odd_tree, run

NAME = "2026-11-24"
BLOCK = 16384 + 28


@pytest.fixture
def filled(sandbox, volume):
    """A volume with everything odd in one snapshot."""
    make_odd_tree(sandbox.root / "source")
    with volume.mount() as mount:
        run("cp", "-a", sandbox.root / "source", mount.path / NAME)
    return volume


@pytest.fixture
def plain(volume):
    """A volume with files that can be found below: name -> backing path."""
    paths = {}
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        for name, size in (("small", 100), ("large", 400_000), ("full", 16384), ("other", 400_000)):
            with volume.new_files() as made:
                (mount.path / NAME / name).write_bytes(random.Random(name).randbytes(size))
            paths[name] = made[0]
        os.symlink("target", mount.path / NAME / "link")
        os.setxattr(mount.path / NAME / "small", "user.comment", b"value")
    return volume, paths


def verify(volume, *arguments, code=0):
    return schema.check(volume.json("verify", *arguments, code=code))


def found(output):
    return sorted((finding["path"], finding["block"], finding["class"])
                  for finding in output["findings"] if not finding["notice"])


def test_an_untouched_volume_has_no_findings(filled):
    for options in ((), ("--structure",), ("--sample", "10%"), (NAME,), ("latest-any",)):
        output = verify(filled, *options)
        assert output["findings"] == [] and sum(output["counts"].values()) == 0, options
    output = verify(filled)
    assert output["snapshots"][-1]["name"] == NAME and output["snapshots"][-1]["files"] > 20
    assert "0 findings" in filled.run("verify").stdout
    assert filled.json("snapshot verify")["schema"] == "snapcrypt.verify/1"


def test_while_it_is_mounted_and_written(volume):
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        (mount.path / NAME / "file").write_bytes(b"x" * 200_000)
        assert found(verify(volume)) == []


def test_a_copy_without_attributes_has_notices_only(sandbox, volume):
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        (mount.path / NAME / "file").write_bytes(b"content")
    copy = sandbox.directory("copy")
    run("cp", "-r", "--preserve=mode,ownership,timestamps", f"{volume.backing}/.", copy)
    output = verify(sandbox.open(copy))
    assert found(output) == [] and output["notices"] == 2
    assert sorted((finding["class"], finding["path"]) for finding in output["findings"]) == [("index", ""), ("index", "file")]


def test_each_bad_block_is_named(plain):
    volume, paths = plain
    flip(paths["large"], 128 + 2 * BLOCK + 100)
    flip(paths["large"], 128 + 4 * BLOCK + 100)
    assert found(verify(volume, code=4)) == [("large", 2, "tampered"), ("large", 4, "tampered")]
    said = volume.run("verify", code=4).stdout
    assert f"tampered: {NAME}/large: block 2: not authentic" in said


def test_headers_ends_and_swapped_blocks(plain):
    volume, paths = plain
    flip(paths["small"], 70)
    cut(paths["full"], 128 + BLOCK)
    with open(paths["large"], "rb") as file:
        file.seek(128)
        block = file.read(BLOCK)
    overwrite(paths["large"], 128 + 3 * BLOCK, block)
    overwrite(paths["other"], 128, block)
    assert found(verify(volume, code=4)) == [("full", None, "unterminated"), ("large", 3, "tampered"),
                                             ("other", 0, "tampered"), ("small", None, "tampered")]
    assert found(verify(volume, "--structure", code=4)) == [
        (paths["full"].name, None, "unterminated")]


def test_what_needs_no_key_is_found_without_one(sandbox, plain):
    volume, paths = plain
    flip(paths["small"], 0)
    (volume.backing / NAME / "plaintext").write_text("never encrypted")
    link = next(path for path in (volume.backing / NAME).iterdir() if path.is_symlink())
    link.unlink()
    link.symlink_to("/etc/passwd")
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "default")
    paths_found = {path for path, _, _ in found(verify(volume, "--structure", code=4))}
    assert paths_found == {paths["small"].name, "plaintext", link.name}
    volume.run("verify", code=12)


def test_attributes_targets_and_names(plain):
    volume, paths = plain
    stored = next(name for name in os.listxattr(paths["small"]) if name.startswith("user.snapcrypt.x."))
    value = bytearray(os.getxattr(paths["small"], stored))
    value[-1] ^= 1
    os.setxattr(paths["small"], stored, bytes(value))
    link = next(path for path in (volume.backing / NAME).iterdir() if path.is_symlink())
    target = os.readlink(link)
    link.unlink()
    link.symlink_to(target[:-4] + ("AAAA" if target[-4:] != "AAAA" else "BBBB"))
    os.rename(paths["other"], paths["other"].with_name("A" * 30))
    os.setxattr(paths["large"], "user.snapcrypt.data_key_id", b"1b4e28ba-2fa1-4d2e-883f-b9a761bde3fb")
    assert found(verify(volume, code=4)) == [("", None, "tampered"), ("large", None, "index"),
                                             ("link", None, "tampered"), ("small", None, "tampered")]


def test_directories_without_or_with_another_identity(plain):
    volume, _ = plain
    (volume.backing / "planted").mkdir()
    run("cp", "-a", volume.backing / NAME, volume.backing / "twin")
    output = verify(volume, code=4)
    classes = {(finding["snapshot"], finding["class"]) for finding in output["findings"]}
    assert {("planted", "added"), (NAME, "tampered"), ("twin", "tampered")} <= classes


def test_records(plain):
    volume, _ = plain
    with volume.mount() as mount:
        (mount.path / "second").mkdir()
    keys = sorted((volume.control / "keys").iterdir())
    flip(keys[0] / "1", 40)
    shutil.rmtree(keys[1])
    keys[1].mkdir()
    output = verify(volume, "--structure", code=4)
    classes = {(finding["path"], finding["class"]) for finding in output["findings"]}
    assert classes == {(f"keys/{keys[0].name}", "tampered"), (f"keys/{keys[1].name}", "missing")}


def test_records_of_another_writer(sandbox, plain):
    volume, _ = plain
    other = sandbox.directory("host")
    environment = {"SNAPCRYPT_STATE_DIR": str(other)}
    done = schema.check(volume.json("verify", "--keyring", sandbox.state / "keyring", env=environment))
    assert found(done) == [] and {finding["class"] for finding in done["findings"]} == {"origin"}
    # Planted beside a volume whose writer is known here, a key of another writer is a finding.
    with sandbox.open(volume.backing).mount(env={"SNAPCRYPT_STATE_DIR": str(sandbox.state)}) as mount:
        (mount.path / "mine").mkdir()
    planted = sandbox.init()
    with planted.mount() as mount:
        (mount.path / "x").mkdir()
    source = next(path for path in (planted.control / "keys").iterdir())
    run("cp", "-a", source, volume.control / "keys")
    assert any(finding["path"] == f"keys/{source.name}" for finding in verify(volume, code=4)["findings"])


def test_an_interrupted_run_goes_on(sandbox, volume):
    with volume.mount() as mount:
        for directory in range(40):
            (mount.path / NAME / str(directory)).mkdir(parents=True)
            (mount.path / NAME / str(directory) / "file").write_bytes(random.Random(directory).randbytes(1 << 20))
        (mount.path / NAME / "large").write_bytes(random.Random(7).randbytes(17 << 20))
    state = next((sandbox.state / "volumes").iterdir()) / "verified"
    skipped = 0
    for _ in range(20):
        process = subprocess.Popen([sandbox.binary, "verify", volume.backing, "--threads", "1", "-q"],
                                   env=sandbox.environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (state.exists() and state.stat().st_size > 100):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            continue
        output = verify(volume, "--resume")
        skipped = output["snapshots"][-1]["skipped_files"]
        assert skipped + output["snapshots"][-1]["files"] == 41
        break
    assert skipped > 0 and not state.exists()
    assert verify(volume)["snapshots"][-1]["skipped_files"] == 0


def test_options_that_make_no_sense(volume):
    volume.run("verify", "--sample", "0", code=2)
    volume.run("verify", "--sample", "x", code=2)
    volume.run("verify", "--expect-root", "AAAA", code=2)
    volume.run("verify", "--structure", "--resume", code=2)
    volume.run("verify", "nothing of that name", code=1)
