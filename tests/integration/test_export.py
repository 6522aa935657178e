# SPDX-License-Identifier: Apache-2.0
"""export: a directory, an archive, a volume for another party; each the same as what was backed up, or recognisably not whole."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile

import pytest
import schema
from snapcrypt import flip, wait_for
from trees import assert_same, make_odd_tree, run

NAME = "2026-11-24"
MARKER = ".snapcrypt-export.json"
BLOCK = 4096


@pytest.fixture
def source(sandbox):
    tree = sandbox.root / "source"
    make_odd_tree(tree)
    (tree / "large").write_bytes(random.Random(9).randbytes(3 << 20))
    with open(tree / "only a hole", "wb") as file:
        file.truncate(5 << 20)
    with open(tree / "holes and an odd end", "wb") as file:
        for place in range(0, 40):
            file.seek(place * 65536)
            file.write(b"data" * 1024)
        file.write(b"odd")
    os.setxattr(tree / "attributes", "user.sign=and%percent".encode(), b"with\nlines\0and zeros")
    os.setxattr(tree / "attributes", "user.größe".encode(), b"")
    os.utime(tree, ns=(4 * 10**17 + 4,) * 2)
    return tree


@pytest.fixture
def volume(sandbox, source):
    """One sealed snapshot of the tree, and an open one in which something is wrong."""
    made = sandbox.init("--block-size", str(BLOCK))
    with made.mount() as mount:
        (mount.path / NAME).mkdir()
        run("cp", "-aT", source, mount.path / NAME)
        (mount.path / "bad").mkdir()
        with made.new_files() as files:
            (mount.path / "bad" / "small").write_bytes(b"SMALLMARK" * 2000)
        with made.new_files() as large:
            (mount.path / "bad" / "large").write_bytes(b"LARGEMARK" * 300_000)
        (mount.path / "bad" / "good").write_text("good")
    flip(files[0], -5000)
    flip(large[0], 2_000_000)
    made.run("snapshot seal", NAME)
    made.bad_small, made.bad_large = files[0], large[0]
    return made


def export(volume, target, *options, name=NAME, **more):
    return volume.sandbox.run("export", volume.backing, name, target, *options, **more)


def take_extras(target):
    """The marker, once it is known that its lists hold the digest of every file; then all of them are gone."""
    marker = schema.check(json.loads((target / MARKER).read_text()))
    lists = [target / entry["path"] for entry in marker["digest_lists"]]
    text = b"".join(path.read_bytes() for path in lists)
    assert hashlib.sha256(text).hexdigest() == marker["digest_lists_sha256"]
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "--strict"], cwd=target, input=text, check=True)
    assert checked.returncode == 0
    inodes = {path.lstat().st_ino for path in target.rglob("*")
              if path.is_file() and not path.is_symlink() and not path.name.startswith(".snapcrypt")}
    assert text.count(b"\n") == len(inodes) == marker["files"]
    times = {directory: os.stat(directory) for directory in {path.parent for path in lists} | {target}}
    for path in (*lists, target / MARKER):
        path.unlink()
    for directory, old in times.items():
        os.utime(directory, ns=(old.st_atime_ns, old.st_mtime_ns))
    return marker


def test_directory_is_the_same_and_its_digests_are_right(volume, source, sandbox):
    target = sandbox.root / "target"
    assert schema.check(volume.json("export", NAME, target, "--dry-run"))["dry_run"] and not target.exists()
    output = schema.check(volume.json("export", NAME, target))
    assert output["complete"] and output["failures"] == 0 and output["format"] == "dir"
    assert not (target / ".snapcrypt-restore.json").exists()
    root = volume.json("snapshot show", NAME)["snapshots"][0]["seal"]["root"]
    assert "is not empty" in export(volume, target, code=2).stderr
    marker = take_extras(target)
    assert_same(source, target)
    assert marker["snapshot"]["root"] == root and not marker["is_selection"]
    assert os.stat(target / "only a hole").st_blocks == 0
    # Once more over it: what the first one has left does not count as the second one's.
    (target / MARKER).write_text("{}")
    export(volume, target, "--force", "--include", "/names", "--threads", "4")
    assert schema.check(json.loads((target / MARKER).read_text()))["is_selection"]


def unpack(archive, target):
    run("tar", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", archive, "-C", target)


def test_archive_unpacks_to_the_same(volume, source, sandbox):
    archive = sandbox.root / "archive.tar"
    with open(archive, "wb") as stream:
        done = subprocess.run([sandbox.binary, "export", volume.backing, NAME, "-", "--json"], stdout=stream,
                              stderr=subprocess.PIPE, env=sandbox.environment, check=True)
    assert b"a socket" in done.stderr
    output = schema.check(json.loads(done.stderr.splitlines()[-1]))
    assert output["complete"] and output["sockets_left_out"] == 1 and output["target"] == "-"
    with tarfile.open(archive) as members:
        assert members.getnames()[-1] == f"./{MARKER}"
        assert members.getmember("./sparse").issparse()
        assert members.extractfile("./size-200000").read() == (source / "size-200000").read_bytes()
    target = sandbox.directory("target")
    unpack(archive, target)
    assert take_extras(target)["format"] == "tar"
    before = os.stat(source)
    (source / "socket").unlink()
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert_same(source, target)
    assert os.stat(target / "only a hole").st_blocks == 0
    again = sandbox.root / "again.tar"
    export(volume, again, "--format", "tar", "--exclude", "names")
    assert again.stat().st_mode & 0o777 == 0o600
    assert "is there already" in export(volume, again, "--format", "tar", code=2).stderr


def test_archive_is_not_for_a_terminal(volume, sandbox):
    leader, follower = os.openpty()
    try:
        done = subprocess.run([sandbox.binary, "export", volume.backing, NAME, "-"], stdout=follower,
                              stderr=subprocess.PIPE, text=True, env=sandbox.environment, check=False)
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 2 and "terminal" in done.stderr and "pipe" in done.stderr


def test_what_is_not_authentic_is_left_out_and_there_is_no_marker(volume, sandbox):
    target = sandbox.root / "target"
    assert "--unsealed" in export(volume, target, name="bad", code=20).stderr
    output = schema.check(volume.json("export", "bad", target, "--unsealed", code=4))
    assert {(found["path"], found["class"]) for found in output["findings"]} == {("small", "tampered"), ("large", "tampered")}
    assert not output["complete"] and not (target / MARKER).exists()
    assert sorted(name for name in os.listdir(target) if not name.startswith(".")) == ["good"]
    # An archive: a small one is left out; a large one ends it, unless it was to be looked at before.
    archive = sandbox.root / "a.tar"
    export(volume, archive, "--unsealed", "--format", "tar", "--exclude", "large", name="bad", code=4)
    with tarfile.open(archive) as members:
        assert members.getnames() == [".", "./good"]
    assert b"SMALLMARK" not in archive.read_bytes()
    archive.unlink()
    export(volume, archive, "--unsealed", "--format", "tar", "--verify", name="bad", code=4)
    with tarfile.open(archive) as members:
        assert members.getnames() == [".", "./good"]
    archive.unlink()
    said = export(volume, archive, "--unsealed", "--format", "tar", name="bad", code=4).stderr
    assert "broken off" in said and "--verify" in said
    assert MARKER.encode() not in archive.read_bytes()
    assert subprocess.run(["tar", "-tf", archive], capture_output=True, check=False).returncode != 0


def test_names_that_do_not_decrypt(volume, sandbox):
    shutil.copy(volume.bad_small, volume.backing / "bad" / "AAAAAAAAAAAAAAAAAAAAAAAA")
    target = sandbox.root / "target"
    output = volume.json("export", "bad", target, "--unsealed", "--exclude", "*l*", code=4)
    assert output["hidden_names"] == 1 and output["failures"] == 0 and not output["complete"]
    assert not (target / MARKER).exists()


def test_killed_export_has_no_marker_and_is_taken_up_again(sandbox):
    volume = sandbox.init()
    with volume.mount() as mount:
        (mount.path / NAME).mkdir()
        for number in range(12):
            (mount.path / NAME / str(number)).write_bytes(random.Random(number).randbytes(8 << 20))
    target = sandbox.root / "target"
    command = [sandbox.binary, "export", volume.backing, NAME, target, "--unsealed", "-q"]
    process = subprocess.Popen(command, env=sandbox.environment)
    wait_for(lambda: (target / "0").exists() or len(list(target.glob("*"))) > 1 or process.poll() is not None, "it began")
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (target / MARKER).exists()
    output = volume.json("export", NAME, target, "--unsealed")
    assert output["complete"] and output["files"] + output["resumed_files"] == 12
    take_extras(target)
    for number in range(12):
        assert (target / str(number)).read_bytes() == random.Random(number).randbytes(8 << 20)


def windows(path, size=64):
    """Pieces of a file, one in each block: what would be found again if a block had been taken over."""
    data = path.read_bytes()
    return {data[at:at + size] for at in range(512 + 100, len(data) - size, BLOCK + 28)} - {bytes(size)}


def test_for_another_party(volume, source, sandbox):
    """Another host with another keyring: its own key, the same content, nothing of the source's keys or ciphertext."""
    theirs = sandbox.directory("theirs")
    sandbox.run("keyring", "init", theirs / "keyring")
    environment = {"SNAPCRYPT_STATE_DIR": str(theirs / "state")}
    key = sandbox.json("keyring", "list", theirs / "keyring")["keys"][0]
    uri = f"keyring://{theirs}/keyring#{key['id']}"
    target = sandbox.root / "shared"
    output = schema.check(volume.json("export", NAME, target, "--to-key", uri))
    made = output["exported"]
    assert output["complete"] and output["format"] == "volume" and output["failures"] == 0
    assert made["encryption_key_id"] == key["key_id"]
    assert made["volume"] != output["volume"] and made["snapshot"] != output["snapshot"]["id"]
    marker = schema.check(json.loads((target / MARKER).read_text()))
    assert marker["exported"] == made and "digest_lists" not in marker
    assert "is not empty" in export(volume, target, "--to-key", uri, code=2).stderr
    # No ciphertext of the source.
    ours = set().union(*(windows(path) for path in volume.files(NAME)))
    copied = b"".join(path.read_bytes() for path in sandbox.open(target).files())
    assert len(ours) > 500 and not any(piece in copied for piece in ours)
    assert not set(os.listdir(volume.backing / NAME)) & (set(os.listdir(target / NAME)) - {".snapcrypt-id"})
    # There, with their key only; ours is out of use.
    ring = sandbox.state / "keyring"
    sandbox.run("keyring", "disable", ring, sandbox.json("keyring", "list", ring)["keys"][0]["id"])
    assert "disabled" in export(volume, sandbox.root / "no", code=12).stderr
    use = ("--keyring", str(theirs / "keyring"))
    rows = sandbox.json("snapshot", "list", target, *use, env=environment)["snapshots"]
    assert [(row["name"], row["state"], row["encryption_key_ids"]) for row in rows] == \
        [(NAME, "sealed", [key["key_id"]])]
    restored = sandbox.root / "restored"
    done = sandbox.run("restore", target, NAME, restored, *use, env=environment)
    assert "origin not verified" in done.stderr
    assert_same(source, restored)
    sandbox.configure(f"[global]\ntrusted_writers = {made['writer']}\nrequire_trusted_origin = yes\n")
    sandbox.run("verify", target, NAME, *use, "--expect-root", made["root"], env=environment)
    with sandbox.open(target).mount("ro", f"snapshot={NAME}", arguments=use, env=environment) as mount:
        assert (mount.path / "size-65537").read_bytes() == (source / "size-65537").read_bytes()


def test_refusals_come_before_anything_is_written(volume, sandbox):
    target = sandbox.root / "target"
    missing = f"keyring://{sandbox.root}/nowhere#key"
    for options, code in ((["--to-key", missing], 13), (["--format", "zip"], 2), (["--to-key", missing, "--format", "tar"], 2)):
        assert export(volume, target, *options, code=code).stderr
        assert not target.exists()
    assert "inside" in export(volume, volume.backing / "out", code=2).stderr
    assert "tar" in export(volume, "-", "--format", "dir", code=2).stderr
    sandbox.configure("[global]\nrequire_cmk = yes\n")
    uri = f"keyring://{sandbox.state}/keyring#default"
    assert "require_cmk" in export(volume, target, "--to-key", uri, code=5).stderr
    assert not target.exists()
