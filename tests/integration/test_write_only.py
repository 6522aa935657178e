# SPDX-License-Identifier: Apache-2.0
"""Hosts with `role = write-only`, against our own fake of AWS KMS: backups that never ask it to decrypt."""

import errno
import os
import shutil

import pytest

from customer import Customer
from fakes.fake_aws import FakeAws
from schema import check
from snapcrypt import Sandbox, wait_for


@pytest.fixture
def customer(authority, tmp_path):
    with FakeAws(authority) as fake:
        yield Customer(fake, tmp_path)
    assert not fake.complaints


@pytest.fixture
def writer(sandbox, customer):
    """A host that the service lets make data keys, and nothing else."""
    customer.fake.deny("Decrypt")
    sandbox.configure(customer.configuration(role="write-only"))
    sandbox.allow("access to its key is denied")
    return sandbox


@pytest.fixture
def reader(binary, customer):
    """Another host, which may decrypt."""
    place = Sandbox(binary)
    place.configure(customer.configuration())
    try:
        yield place
    finally:
        problems = place.close()
    assert not problems


def error_of(action, *arguments):
    with pytest.raises(OSError) as raised:
        action(*arguments)
    return errno.errorcode[raised.value.errno]


def back_up(mount, name):
    """A snapshot with files that are read back while the mount runs; their content."""
    top = mount.path / name
    (top / "sub").mkdir(parents=True)
    for place, size in (("empty", 0), ("small", 100), ("sub/large", 200_000)):
        (top / place).write_bytes(os.urandom(size))
    os.setxattr(top / "small", "user.a", b"b")
    (top / "link").symlink_to("small")
    tree = {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}
    assert len(tree) == 4 and os.getxattr(top / "small", "user.a") == b"b"
    return tree


def read_tree(top):
    return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*"))
            if path.is_file() and not path.is_symlink()}


def without_link(tree):
    return {name: data for name, data in tree.items() if name != "link"}


def test_backs_up_restarts_and_backs_up_again_and_another_host_restores(writer, reader, customer, tmp_path):
    volume = writer.init("--key", customer.uri)
    mount = volume.mount()
    first = back_up(mount, "2026-11-24")
    (mount.path / "latest").symlink_to("2026-11-24")
    (mount.path / "note").write_bytes(b"in the root")
    mount.umount()

    mount = volume.mount()
    second = back_up(mount, "2026-11-25")
    # The root goes on under a new data key; the old link can be replaced, not read.
    assert error_of((mount.path / "note").read_bytes) == "EACCES"
    (mount.path / "latest").unlink()
    (mount.path / "latest").symlink_to("2026-11-25")
    assert os.readlink(mount.path / "latest") == "2026-11-25"
    (mount.path / "note2").write_bytes(b"in the root again")
    # What was begun before is closed to this host, and stays as it is.
    assert error_of(os.listdir, mount.path / "2026-11-24") == "EACCES"
    assert error_of((mount.path / "2026-11-24" / "more").write_bytes, b"") == "EACCES"
    assert sorted(os.listdir(mount.path)) == ["2026-11-24", "2026-11-25", "latest", "note", "note2"]
    states = {row["name"]: row for row in check(volume.json("snapshot list"))["snapshots"]}
    assert states["2026-11-24"]["encryption_key_id"] == states["2026-11-25"]["encryption_key_id"]
    mount.umount()
    assert customer.fake.count("Decrypt") == 0
    assert customer.fake.count("GenerateDataKey") >= 4

    # Its records are another host's there, until its fingerprint is trusted.
    customer.fake.denied.clear()
    fingerprint = writer.json("status")["writer"]
    copy = reader.open(shutil.copytree(volume.backing, reader.root / "copy", symlinks=True))
    reader.configure(customer.configuration(trusted_writers=fingerprint, require_trusted_origin="yes"))
    mount = copy.mount("ro")
    assert read_tree(mount.path / "2026-11-24") == without_link(first)
    assert read_tree(mount.path / "2026-11-25") == without_link(second)
    assert os.readlink(mount.path / "latest") == "2026-11-25"
    assert (mount.path / "note").read_bytes() == b"in the root"
    assert (mount.path / "note2").read_bytes() == b"in the root again"
    assert os.readlink(mount.path / "2026-11-24" / "link") == "small"
    assert os.getxattr(mount.path / "2026-11-24" / "small", "user.a") == b"b"
    mount.umount()
    destination = tmp_path / "restored"
    copy.run("restore", "2026-11-24", destination, "--unsealed")
    assert read_tree(destination) == without_link(first)


def test_hard_links_to_old_snapshots_are_copies(writer, customer):
    """Where names are plain an old file can be found: a link to it is EXDEV, and rsync --link-dest copies."""
    volume = writer.init("--key", customer.uri, "--names", "plain")
    mount = volume.mount()
    (mount.path / "old").mkdir()
    (mount.path / "old" / "file").write_bytes(b"x" * 5000)
    (mount.path / "new").mkdir()
    os.link(mount.path / "old" / "file", mount.path / "new" / "while-it-runs")
    mount.umount()
    mount = volume.mount()
    (mount.path / "newer").mkdir()
    assert (mount.path / "old" / "file").stat().st_size == 5000
    assert error_of((mount.path / "old" / "file").read_bytes) == "EACCES"
    assert error_of(os.link, mount.path / "old" / "file", mount.path / "newer" / "file") == "EXDEV"
    mount.umount()
    assert customer.fake.count("Decrypt") == 0


def test_rsync_copies_what_it_may_not_link(writer, customer, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(os.urandom(70_000))
    rsync = shutil.which("rsync")
    if not rsync:
        pytest.skip("skipped: no rsync")
    volume = writer.init("--key", customer.uri)
    for day in ("1", "2"):
        mount = volume.mount()
        writer.binary, program = rsync, writer.binary
        try:
            writer.run("-aHA", "--link-dest=../1", f"{source}/", mount.path / day)
        finally:
            writer.binary = program
        assert read_tree(mount.path / day) == read_tree(source)
        assert (mount.path / day / "sub" / "file").stat().st_nlink == 1
        mount.umount()
    assert customer.fake.count("Decrypt") == 0


def test_a_crash_leaves_what_was_synced_to_the_host_that_may_decrypt(writer, reader, customer):
    """The journal waits for a mount that can open its data key."""
    volume = writer.init("--key", customer.uri)
    mount = volume.mount()
    (mount.path / "day").mkdir()
    fd = os.open(mount.path / "day" / "file", os.O_WRONLY | os.O_CREAT)
    for data in (b"a", *[b"b"] * 4):
        os.write(fd, data * 3000)
        os.fsync(fd)
    mount.kill()
    assert error_of(os.close, fd) == "ENOTCONN"
    mount = volume.mount()
    (mount.path / "next").mkdir()
    (mount.path / "next" / "file").write_bytes(b"next")
    mount.umount()
    assert customer.fake.count("Decrypt") == 0

    customer.fake.denied.clear()
    reader.configure(customer.configuration(trusted_writers=writer.json("status")["writer"]))
    copy = reader.open(shutil.copytree(volume.backing, reader.root / "copy", symlinks=True))
    mount = copy.mount()
    assert (mount.path / "day" / "file").read_bytes() == b"a" * 3000 + b"b" * 12000
    assert (mount.path / "next" / "file").read_bytes() == b"next"
    mount.umount()


def test_nothing_decrypts_on_a_write_only_host(writer, customer):
    """Commands as well as mounts; a restore mount says why it cannot be."""
    volume = writer.init("--key", customer.uri)
    volume.run("snapshot create", "by-command")
    writer.run("keys", "test", customer.uri)
    volume.run("snapshot list")
    volume.run("snapshot show", "by-command")
    assert "write-only" in volume.mount_refused(18, "ro", "snapshot=by-command")
    assert customer.fake.count("Decrypt") == 0


def test_probes_by_generating(writer, customer):
    volume = writer.init("--key", customer.uri)
    mount = volume.mount("key_poll=1")
    before = back_up(mount, "day")
    made = customer.fake.count("GenerateDataKey")
    wait_for(lambda: customer.fake.count("GenerateDataKey") >= made + 2, "two probes")
    assert read_tree(mount.path / "day") == without_link(before)
    customer.key.state = "Disabled"
    writer.allow("is disabled")
    wait_for(lambda: not readable(mount.path / "day" / "small"), "withdrawn")
    assert error_of(open, mount.path / "day" / "small") == "EKEYREVOKED"
    customer.key.state = "Enabled"
    writer.allow("enabled again")
    wait_for(lambda: readable(mount.path / "day" / "small") or
             check(writer.json("audit", "show", "--operation", "recovery"))["entries"], "given back")
    assert customer.fake.count("Decrypt") == 0
    told = [(line["operation"], line["outcome"]) for line in check(writer.json("audit", "show"))["entries"]
            if line["operation"] in ("revocation", "recovery")]
    assert told == [("revocation", "disabled"), ("recovery", "ok")]
    assert writer.json("audit", "show", "--operation", "probe-failed")["entries"]
    assert not check(writer.json("audit", "verify"))["findings"]
    mount.umount()


def readable(path):
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
