# SPDX-License-Identifier: Apache-2.0
"""A key that says no while a volume is mounted: what stops, what goes on, and how service returns.

Against our own fakes of the key services; AWS above all.
"""

import contextlib
import mmap
import os
import signal
import subprocess
import sys

import pytest

import services
from aws_keys import FAST, SLACK_S, create, keys_of, outcome, read, state, status, until

NOTICED_S = 2 + SLACK_S    # poll interval and confirmation, with key_poll = 1s
SIZE = 300_000


@pytest.fixture
def aws(sandbox, authority, tmp_path):
    with keys_of(authority, tmp_path, sandbox) as keys:
        yield keys
    assert not keys.fake.complaints


@pytest.fixture
def two(aws, sandbox):
    """A mount with snapshot "a" under the first key and "b" under the second, and files linked across."""
    one, other = aws.add("one"), aws.add("other")
    volume = sandbox.init("--key", one.uri)
    mount = volume.mount(*FAST)
    a, b = mount.path / "a", mount.path / "b"
    a.mkdir()
    (a / "sub").mkdir()
    (a / "sub" / "file").write_bytes(b"A" * SIZE)
    sandbox.run("keys", "set-default", volume.backing, other.uri)
    b.mkdir()
    (b / "file").write_bytes(b"B" * SIZE)
    os.link(a / "sub" / "file", b / "from-a")
    os.link(b / "file", a / "from-b")
    return mount, a, b, one, other


MAPPER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print(sum(pages[::4096]), flush=True)
for line in sys.stdin:
    print(sum(pages[::4096]), flush=True)
"""


@contextlib.contextmanager
def mapped(path):
    """A process that reads the pages of a mapping each time it is told to."""
    with subprocess.Popen([sys.executable, "-c", MAPPER, path], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def touch(process):
    """Whether it could read its pages; else how it ended."""
    process.stdin.write("\n")
    process.stdin.flush()
    return True if process.stdout.readline() else process.wait(10)


def test_what_is_cached_fails_too_and_service_returns_by_itself(sandbox, two):
    mount, a, b, one, _ = two
    sandbox.allow("disabled")
    path = a / "sub" / "file"
    reader = os.open(path, os.O_RDONLY)
    directory = os.open(a / "sub", os.O_RDONLY | os.O_DIRECTORY)
    linked = os.open(a / "from-b", os.O_RDONLY)
    try:
        with mapped(path) as pages, mapped(b / "file") as others:
            assert os.pread(reader, SIZE, 0) == b"A" * SIZE
            assert touch(pages) is True
            one.disable()
            took_s = until(lambda: outcome(os.pread, reader, 1, 0), "a cached page fails")
            assert took_s < NOTICED_S
            until(lambda: outcome(os.stat, path) == "EKEYREVOKED", "a name fails", 2)

            assert outcome(os.pread, reader, 1, 0) == "EKEYREVOKED"
            assert outcome(os.pread, reader, 1, SIZE - 1) == "EKEYREVOKED"
            assert touch(pages) == -signal.SIGBUS
            assert read(path) == "EKEYREVOKED"
            assert outcome(os.stat, path) == outcome(os.stat, a / "sub") == "EKEYREVOKED"
            assert outcome(os.stat, a / "not-there") == "EKEYREVOKED"
            assert outcome(os.listdir, a) == outcome(os.listdir, directory) == "EKEYREVOKED"
            assert create(a / "new") == outcome(os.mkdir, a / "new") == "EKEYREVOKED"

            # The snapshot directory itself, the other snapshot, and what is under the other key go on.
            assert a.stat().st_nlink and sorted(os.listdir(mount.path)) == ["a", "b"]
            assert (b / "file").read_bytes() == b"B" * SIZE and touch(others) is True
            assert os.pread(linked, 1, 0) == b"B"
            assert read(b / "from-a") == "EKEYREVOKED"
            (b / "more").write_bytes(b"+")
            about, keys = status(mount)
            assert about["state"] == "revoked"
            assert keys[one.key.arn]["state"] == "disabled" and keys[one.key.arn]["withdrawn"]
            assert "aws kms enable-key" in keys[one.key.arn]["advice"]

            one.restore()
            until(lambda: read(path) == b"A", "service returns")
            assert os.pread(reader, SIZE, 0) == b"A" * SIZE
            assert os.listdir(a / "sub") == ["file"] and read(b / "from-a") == b"A"
            assert status(mount)[0]["state"] == "serving"
            (a / "new").write_bytes(b"+")
    finally:
        for descriptor in (reader, directory, linked):
            os.close(descriptor)


def test_writers_get_the_error_and_what_was_acknowledged_reads_back(sandbox, two):
    mount, a, b, one, _ = two
    sandbox.allow("disabled")
    writer, other = (os.open(path, os.O_WRONLY | os.O_CREAT) for path in (a / "log", b / "log"))
    shared = os.open(a / "shared", os.O_RDWR | os.O_CREAT)
    os.ftruncate(shared, 8192)
    pages = mmap.mmap(shared, 8192)
    pages[0:4] = b"page"
    pages.flush()
    acknowledged = bytearray()
    failure = None
    one.disable()
    while failure is None:
        chunk = os.urandom(40_000)
        try:
            os.write(writer, chunk)
            acknowledged += chunk
        except OSError as error:
            failure = error
    os.write(other, b"goes on")
    assert failure.errno == 128    # EKEYREVOKED
    assert outcome(os.write, writer, b"+") == outcome(os.fsync, writer) == "EKEYREVOKED"
    until(lambda: outcome(os.stat, a / "log") == "EKEYREVOKED", "names fail", 5)
    assert outcome(os.ftruncate, writer, 0) == outcome(os.fchmod, writer, 0o600) == "EKEYREVOKED"
    assert outcome(os.close, writer) == "EKEYREVOKED"
    assert outcome(os.unlink, a / "log") == outcome(os.rename, a / "log", a / "x") == "EKEYREVOKED"
    assert outcome(os.link, b / "log", a / "x") == "EKEYREVOKED"
    assert outcome(os.setxattr, a / "log", "user.x", b"1") == "EKEYREVOKED"
    os.close(other)
    assert outcome(os.close, shared) == "EKEYREVOKED"

    # It is on disk already: a second mount of the backing directory is not needed for it, nor is ours.
    mount.kill()
    one.restore()
    again = mount.volume.mount(*FAST)
    assert (again.path / "a" / "log").read_bytes() == bytes(acknowledged)
    assert (again.path / "a" / "shared").read_bytes()[:4] == b"page"
    assert (again.path / "b" / "log").read_bytes() == b"goes on"


def test_the_same_handle_goes_on_reading_but_not_writing(sandbox, two):
    mount, a, _, one, _ = two
    sandbox.allow("disabled")
    with open(a / "sub" / "file", "r+b", buffering=0) as both, open(a / "sub" / "file", "rb", buffering=0) as reader:
        assert both.read(1) == reader.read(1) == b"A"
        one.disable()
        until(lambda: state(mount, one) == "disabled" and read(a / "sub" / "file") == "EKEYREVOKED", "it is noticed")
        one.restore()
        until(lambda: read(a / "sub" / "file") == b"A", "service returns")
        assert reader.read(1) == b"A"
        # What a writer had in hand may be lost, so it is told, even now.
        assert outcome(both.write, b"+") == "EKEYREVOKED"
        with contextlib.suppress(OSError):
            both.close()


@contextlib.contextmanager
def keyring(sandbox):
    class Service:
        path = sandbox.state / "keyring"
        uri, section = f"keyring://{path}#default", staticmethod(lambda: "")

        def disable(self):
            sandbox.run("keyring", "disable", self.path, "default")

        def enable(self):
            sandbox.run("keyring", "enable", self.path, "default")
    yield Service()


@pytest.fixture(params=["azure", "gcp", "vault", "keyring"])
def service(request, sandbox, authority, tmp_path):
    if request.param == "keyring":
        with keyring(sandbox) as made:
            yield made
        return
    with getattr(services, request.param)(authority, tmp_path) as made:
        yield made
    assert not made.fake.complaints, made.fake.complaints


def test_every_service_can_withdraw_and_give_back(sandbox, service):
    sandbox.allow("disabled")
    sandbox.configure(service.section())
    volume = sandbox.init(*(() if service.uri.startswith("keyring") else ("--key", service.uri)))
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        path.parent.mkdir()
        path.write_bytes(b"A" * SIZE)
        assert read(path) == b"A"
        service.disable()
        until(lambda: read(path) == "EKEYREVOKED", "it is noticed")
        until(lambda: outcome(os.mkdir, mount.path / "b") == "EKEYREVOKED", "the spare is gone", 2)
        assert os.listdir(mount.path) == ["a"]
        service.enable()
        until(lambda: read(path) == b"A", "service returns")
        until(lambda: outcome(os.mkdir, mount.path / "b") == "", "new snapshots are made", 8)
        assert path.read_bytes() == b"A" * SIZE
