# SPDX-License-Identifier: Apache-2.0
"""
A sealed snapshot against its manifest: every attack is named by verify with path and class, and refused by restore mounts and
by restore; what is only said about an object is restored as it was sealed.  No false alarm.
"""

import json
import os
import random
import shutil

import pytest
import schema
from snapcrypt import cut, overwrite, zero
from trees import assert_same, make_odd_tree, run

NAME = "2026-11-24"
BLOCK = 65536 + 28


@pytest.fixture
def volume(sandbox):
    """With blocks of the size that the offsets here are for."""
    return sandbox.init("--block-size", "65536")


class Place:
    """A sealed snapshot NAME of a small tree; its plain copy; where each object is below."""

    def __init__(self, sandbox, volume):
        self.sandbox, self.volume = sandbox, volume
        self.source = sandbox.root / "source"
        self.below = {}
        self._make_source()
        with volume.mount() as mount:
            snapshot = mount.path / NAME
            snapshot.mkdir()
            self.copy_in(snapshot)
        self.seal(NAME)

    def _make_source(self):
        self.source.mkdir()
        for name in ("directory", "elsewhere"):
            (self.source / name).mkdir()
        for name, size in (("file", 300_000), ("other", 300_000), ("directory/inside", 1000), ("small", 10)):
            (self.source / name).write_bytes(random.Random(name).randbytes(size))
        with open(self.source / "sparse", "wb") as file:
            file.write(b"x" * 65536)
            file.seek(3 * 65536)
            file.write(b"y" * 65536)
            file.truncate(5 * 65536)
        (self.source / "link").symlink_to("file")
        os.setxattr(self.source / "small", "user.comment", b"sealed")
        os.mkfifo(self.source / "fifo")

    def copy_in(self, snapshot):
        """Copy object by object, to learn the backing names."""
        backing = self.volume.backing / snapshot.name
        for name in ("directory", "elsewhere", "file", "other", "small", "sparse", "link", "fifo"):
            before = set(os.listdir(backing))
            run("cp", "-a", "--sparse=always", self.source / name, snapshot / name)
            made = [entry for entry in set(os.listdir(backing)) - before if not entry.endswith(".name")]
            self.below[name] = backing / made[0]
        inside = [entry for entry in os.listdir(self.below["directory"])]
        self.below["directory/inside"] = self.below["directory"] / inside[0]
        run("touch", "-r", self.source, snapshot)

    def seal(self, name):
        self.volume.run("snapshot seal", name)

    def verify(self, *arguments, code=0, env=None):
        return schema.check(self.volume.json("verify", *arguments, code=code, env=env))

    def found(self, *arguments, code=4):
        return sorted({(finding["path"], finding["class"]) for finding in self.verify(*arguments, code=code)["findings"]
                       if not finding["notice"]})

    def restore(self, *arguments, code=4, env=None):
        target = self.sandbox.directory("target")
        target.rmdir()
        done = self.sandbox.run("restore", self.volume.backing, NAME, target, "--json", *arguments, code=code, env=env)
        if not done.stdout:
            return None, target
        return schema.check(json.loads(done.stdout)), target


@pytest.fixture
def place(sandbox, volume):
    return Place(sandbox, volume)


def keep_times(path, change):
    """Change something in a directory as an attacker would: its time stays."""
    before = os.stat(path)
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_untouched_there_is_no_finding(place):
    assert place.verify()["findings"] == []
    assert place.verify(NAME, "--sample", "10")["findings"] == []
    assert place.verify("--structure")["findings"] == []
    output, target = place.restore("--verify", code=0)
    assert output["findings"] == [] and output["snapshot"]["state"] == "sealed"
    assert_same(place.source, target)
    assert os.stat(target / "sparse").st_blocks * 512 < 4 * 65536
    written = place.sandbox.json("audit", "show")["entries"]
    told = {line["operation"]: line for line in written if line["operation"] in ("seal", "restore")}
    assert told["seal"]["detail"] == NAME and told["restore"]["detail"] == str(target)
    place.sandbox.run("audit", "verify")


def test_everything_odd_is_sealed_and_restored(sandbox, volume):
    source = sandbox.root / "odd"
    make_odd_tree(source)
    with volume.mount() as mount:
        run("cp", "-a", source, mount.path / NAME)
    volume.run("snapshot seal", NAME)
    assert volume.json("verify")["findings"] == []
    target = sandbox.root / "target"
    sandbox.run("restore", volume.backing, "latest", target)
    assert_same(source, target)


def test_a_copy_without_attributes_has_notices_only(sandbox, volume):
    with volume.mount() as mount:
        (mount.path / NAME / "directory").mkdir(parents=True)
        (mount.path / NAME / "directory" / "file").write_bytes(b"content")
    volume.run("snapshot seal", NAME)
    copy = sandbox.directory("copy")
    run("cp", "-r", "--preserve=mode,ownership,timestamps", f"{volume.backing}/.", copy)
    output = schema.check(sandbox.open(copy).json("verify"))
    assert {finding["class"] for finding in output["findings"]} == {"index"} and output["notices"] > 0
    target = sandbox.root / "target"
    sandbox.run("restore", copy, NAME, target)
    assert (target / "directory" / "file").read_bytes() == b"content"


def test_a_file_removed(place):
    keep_times(place.below["file"].parent, place.below["file"].unlink)
    assert place.found() == [("file", "missing")]
    output, target = place.restore()
    assert [(finding["path"], finding["class"]) for finding in output["findings"]] == [("file", "missing")]
    assert not (target / "file").exists() and (target / "other").exists()


def test_a_file_added(place):
    keep_times(place.below["file"].parent,
               lambda: run("cp", "-a", place.below["file"], place.below["file"].with_name("A" * 40)))
    assert [found for _, found in place.found()] == ["added"]
    output, target = place.restore(code=0)
    assert output["failures"] == 0
    assert_same(place.source, target)


def test_a_file_renamed(place):
    # To a name that decrypts: one that another directory's file has.
    keep_times(place.below["file"].parent,
               lambda: os.rename(place.below["directory/inside"],
                                 place.below["file"].with_name(place.below["directory/inside"].name)))
    found = place.found()
    assert ("directory/inside", "missing") in found and ("inside", "added") in found
    output, target = place.restore()
    assert not (target / "inside").exists() and not (target / "directory" / "inside").exists()


def test_two_files_exchanged(place):
    file, other = place.below["file"], place.below["other"]
    spare = file.with_name("spare")

    def exchange():
        for old, new in ((file, spare), (other, file), (spare, other)):
            os.rename(old, new)
    keep_times(file.parent, exchange)
    assert {("file", "tampered"), ("other", "tampered")} <= set(place.found())
    _, target = place.restore()
    assert not (target / "file").exists() and not (target / "other").exists()


def replace_by_older(place, what):
    """A sealed snapshot of which one file is what it was before its last change."""
    with place.volume.mount() as mount:
        (mount.path / "again").mkdir()
        with place.volume.new_files() as made:
            run("cp", "-a", place.source / "file", mount.path / "again" / "file")
        old = made[0].read_bytes()
        if what == "block":
            with open(mount.path / "again" / "file", "r+b") as file:
                file.seek(70_000)
                file.write(b"changed")
        else:
            (mount.path / "again" / "file").write_bytes(b"n" * 300_000)
    place.seal("again")
    stat = os.stat(made[0])
    if what == "block":
        overwrite(made[0], 128 + BLOCK, old[128 + BLOCK:128 + 2 * BLOCK])
    else:
        overwrite(made[0], 0, old)
    os.utime(made[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("what", ["block", "file"])
def test_an_older_version(place, what):
    replace_by_older(place, what)
    findings = [finding for finding in place.verify("again", code=4)["findings"]]
    assert {(finding["path"], finding["class"]) for finding in findings} == {("file", "tampered")}
    if what == "block":
        assert [finding["block"] for finding in findings] == [1]
    target = place.sandbox.root / "older"
    place.sandbox.run("restore", place.volume.backing, "again", target, code=4)
    assert not (target / "file").exists()


def test_a_block_of_a_sparse_file_zeroed(place):
    stat = os.stat(place.below["sparse"])
    zero(place.below["sparse"], 128, BLOCK)
    os.utime(place.below["sparse"], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    findings = place.verify(code=4)["findings"]
    assert [(finding["path"], finding["class"], finding["block"]) for finding in findings] == [("sparse", "tampered", 0)]
    _, target = place.restore()
    assert not (target / "sparse").exists()


def test_a_file_cut_and_extended(place):
    for name, change in (("file", lambda path: cut(path, 128 + 2 * BLOCK + 28)),
                         ("other", lambda path: cut(path, os.stat(path).st_size + 100))):
        stat = os.stat(place.below[name])
        change(place.below[name])
        os.utime(place.below[name], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert place.found() == [("file", "tampered"), ("other", "tampered")]
    place.restore()


def test_a_symlink_pointed_elsewhere(place):
    with place.volume.mount() as mount:
        (mount.path / "again").mkdir()
        before = set(os.listdir(place.volume.backing / "again"))
        (mount.path / "again" / "link").symlink_to("/etc/passwd")
        made = (set(os.listdir(place.volume.backing / "again")) - before).pop()
    stat = os.lstat(place.below["link"])
    parent = place.below["link"].parent

    def point():
        place.below["link"].unlink()
        place.below["link"].symlink_to(os.readlink(place.volume.backing / "again" / made))
        os.utime(place.below["link"], ns=(stat.st_atime_ns, stat.st_mtime_ns), follow_symlinks=False)
    keep_times(parent, point)
    assert place.found(NAME) == [("link", "tampered")]
    _, target = place.restore()
    assert not os.path.lexists(target / "link")


@pytest.mark.parametrize("change", ["mode", "owner", "time", "attribute", "attribute added", "attribute removed"])
def test_what_is_said_about_an_object(place, change):
    path = place.below["small"]
    stat = os.stat(path)
    stored = next(name for name in os.listxattr(path) if name.startswith("user.snapcrypt.x."))
    if change == "mode":
        os.chmod(path, 0o4777)
    elif change == "owner":
        os.chown(path, 1234, 1234)
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "attribute":
        os.setxattr(path, stored, os.getxattr(path, stored)[::-1])
    elif change == "attribute added":
        run("setfacl", "-m", "u:1234:r", path)
        os.chmod(path, stat.st_mode & 0o7777)
    else:
        os.removexattr(path, stored)
    assert place.found() == [("small", "metadata")]
    output, target = place.restore()
    assert [(finding["path"], finding["class"]) for finding in output["findings"]] == [("small", "metadata")]
    assert output["failures"] == 0
    assert_same(place.source, target)
    repaired = schema.check(place.volume.json("repair", "--yes"))
    assert [(action["action"], action["done"]) for action in repaired["actions"]] == [("metadata", True)]
    assert place.verify()["findings"] == []


def test_a_directory_moved(place):
    keep_times(place.below["directory"].parent,
               lambda: os.rename(place.below["directory"], place.below["elsewhere"] / place.below["directory"].name))
    found = place.found()
    assert ("directory", "missing") in found and ("elsewhere/directory", "added") in found
    _, target = place.restore()
    assert not (target / "directory").exists() and not (target / "elsewhere" / "directory").exists()


def second_snapshot(place, name="second"):
    with place.volume.mount() as mount:
        (mount.path / name).mkdir()
        (mount.path / name / "file").write_bytes(b"of another snapshot")
    place.seal(name)


def test_identities_of_two_snapshots_exchanged(place):
    second_snapshot(place)
    first, second = (place.volume.backing / name / ".snapcrypt-id" for name in (NAME, "second"))
    kept = first.read_bytes()
    first.unlink()
    second.rename(first)
    second.write_bytes(kept)
    output = place.verify(code=4)
    assert {finding["snapshot"] for finding in output["findings"]} >= {NAME, "second"}
    output, target = place.restore()
    assert not any(path.is_file() for path in target.rglob("*"))


def test_a_sealed_snapshot_removed(place):
    second_snapshot(place)
    shutil.rmtree(place.volume.backing / NAME)
    findings = place.verify(code=4)["findings"]
    assert [(finding["snapshot"], finding["class"]) for finding in findings] == [(NAME, "missing")]


def test_the_seal_record_removed(place):
    second_snapshot(place)
    for number in ("2", "1"):
        (place.volume.control / "seals" / number).unlink()
        found = {(finding["path"], finding["class"]) for finding in place.verify(code=4)["findings"]}
        assert (f"seals/{number}", "tampered") in found
        place.restore(code=21)


def test_replaced_by_an_earlier_sealed_one_of_the_same_name(place):
    kept = place.sandbox.root / "kept"
    run("cp", "-a", place.volume.backing, kept)
    shutil.rmtree(place.volume.backing / NAME)
    with place.volume.mount() as mount:
        (mount.path / NAME).mkdir()
        (mount.path / NAME / "file").write_bytes(b"new")
    place.seal(NAME)
    # The newer one goes, the older one comes back, with all that was on storage then.
    shutil.rmtree(place.volume.backing)
    run("cp", "-a", kept, place.volume.backing)
    found = {(finding["path"], finding["class"]) for finding in place.verify(code=4)["findings"]}
    assert ("seals/2", "tampered") in found
    _, target = place.restore(code=21)
    assert not target.exists()


def test_forged_by_a_foreign_writer(sandbox, place):
    # Somebody who may encrypt makes a snapshot of the same name on a host of their own, and seals it.
    shutil.rmtree(place.volume.backing / NAME)
    for record in (place.volume.control / "seals").iterdir():
        record.unlink()
    other = {"SNAPCRYPT_STATE_DIR": str(sandbox.directory("host")),
             "SNAPCRYPT_TRUSTED_WRITERS": sandbox.json("volume", "show", place.volume.backing)["writer"]}
    shutil.copy(sandbox.state / "keyring", other["SNAPCRYPT_STATE_DIR"])
    key = sandbox.json("keyring", "list", sandbox.state / "keyring")["keys"][0]["id"]
    other["SNAPCRYPT_KEY"] = f"keyring://{other['SNAPCRYPT_STATE_DIR']}/keyring#{key}"
    sandbox.allow(".*")
    with place.volume.mount(env=other) as mount:
        (mount.path / NAME).mkdir()
        (mount.path / NAME / "file").write_bytes(b"forged")
    sandbox.run("snapshot", "seal", place.volume.backing, NAME, env=other)
    found = {(finding["snapshot"], finding["class"]) for finding in place.verify(NAME, code=4)["findings"]}
    assert (NAME, "origin") in found
    _, target = place.restore(code=21)
    assert not target.exists()


def test_expected_root(place):
    root = place.verify(NAME)["snapshots"][0]["root"]
    assert place.verify(NAME, "--expect-root", root)["findings"] == []
    other = ("0" if root[0] != "0" else "1") + root[1:]
    assert place.found(NAME, "--expect-root", other) == [("", "tampered")]


def test_the_manifest_changed_or_gone(place):
    manifest = next((place.volume.control / "manifests").iterdir())
    overwrite(manifest, 200, b"\0" * 20)
    assert ("", "tampered") in place.found()
    _, target = place.restore()
    assert not target.exists()
    manifest.unlink()
    assert ("", "tampered") in place.found()
    _, target = place.restore()
    assert not target.exists()


def test_a_new_host_with_nothing_but_the_key(sandbox, place):
    host = sandbox.directory("host")
    shutil.copy(sandbox.state / "keyring", host / "copied")
    environment = {"SNAPCRYPT_STATE_DIR": str(host / "state")}
    key = ("--keyring", host / "copied")
    said = sandbox.run("snapshots", place.volume.backing, env=environment).stdout
    assert NAME in said and "sealed" in said
    output = schema.check(place.volume.json("verify", *key, env=environment))
    assert {finding["class"] for finding in output["findings"] if finding["notice"]} == {"origin"}
    assert sum(output["counts"].values()) == 0
    done = sandbox.run("restore", place.volume.backing, NAME, sandbox.root / "unknown", *key, env=environment)
    assert "origin not verified" in done.stderr
    assert_same(place.source, sandbox.root / "unknown")
    sandbox.allow("origin not verified")
    with place.volume.mount("ro", f"snapshot={NAME}", arguments=key, env=environment) as mount:
        assert (mount.path / "file").read_bytes() == (place.source / "file").read_bytes()
    fingerprint = sandbox.json("volume", "show", place.volume.backing)["writer"]
    sandbox.configure(f"[global]\ntrusted_writers = {fingerprint}\nrequire_trusted_origin = yes\n")
    done = sandbox.run("restore", place.volume.backing, NAME, sandbox.root / "known", *key, env=environment)
    assert "origin not verified" not in done.stderr
    assert_same(place.source, sandbox.root / "known")
    sandbox.configure("[global]\nrequire_trusted_origin = yes\n")
    sandbox.run("restore", place.volume.backing, NAME, sandbox.root / "none", *key, code=21,
                env={"SNAPCRYPT_STATE_DIR": str(host / "third")})
