# SPDX-License-Identifier: Apache-2.0
"""The key service is away while a volume is mounted, and requests that wait for it.

Against our own fake of AWS KMS.
"""

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from aws_keys import keys_of, outcome, read, status, until
from fakes.base import hang

KEY_TIMEOUT = "key_timeout=2s"


@pytest.fixture
def aws(sandbox, authority, tmp_path):
    sandbox.allow("key|unreachable|did not answer")
    with keys_of(authority, tmp_path, sandbox) as keys:
        yield keys
    assert not keys.fake.complaints


@pytest.fixture
def key(aws):
    return aws.add("one")


@pytest.fixture
def volume(sandbox, key):
    """With snapshots "a" and "b"."""
    volume = sandbox.init("--key", key.uri)
    with volume.mount() as mount:
        for name in "ab":
            (mount.path / name).mkdir()
            (mount.path / name / "file").write_bytes(name.encode() * 100_000)
    return volume


# ---- Away during a backup ----

def back_up(top, count):
    for index in range(count):
        directory = top / f"{index // 20:02}"
        directory.mkdir(exist_ok=True)
        (directory / f"{index}").write_bytes(f"{index}".encode() * 2000)


def check_backup(top, count):
    for index in range(count):
        assert (top / f"{index // 20:02}" / f"{index}").read_bytes() == f"{index}".encode() * 2000


def slowest_of(top, stop):
    """The slowest of many small creations until STOP is set, and how many there were."""
    slowest, count = 0, 0
    while not stop.is_set():
        start = time.monotonic()
        (top / f"during-{count}").write_bytes(b"x")
        slowest, count = max(slowest, time.monotonic() - start), count + 1
    return slowest, count


def test_a_backup_completes_while_the_service_is_away(sandbox, aws, key):
    volume = sandbox.init("--key", key.uri)
    with volume.mount(KEY_TIMEOUT, "key_poll=1s") as mount:
        (mount.path / "first").mkdir()
        until(lambda: aws.fake.count("GenerateDataKey") >= 3, "a spare is made")    # test, first, the next
        time.sleep(0.5)
        key.silence()
        back_up(mount.path / "first", 200)
        (mount.path / "second").mkdir()    # with the spare
        back_up(mount.path / "second", 100)
        check_backup(mount.path / "first", 200)

        # Another one cannot be made: it fails in time, and holds up nobody.
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            others = pool.submit(slowest_of, mount.path / "second", stop)
            start = time.monotonic()
            assert outcome(os.mkdir, mount.path / "third") in ("EHOSTUNREACH", "ETIMEDOUT")
            took_s = time.monotonic() - start
            stop.set()
            slowest_s, count = others.result()
        assert took_s < 2 + 1.5
        assert count > 20 * took_s and slowest_s < 1, (count, took_s, slowest_s)
        # The mkdir no longer waits as long as the probe of the same second: poll interval and deadline are the bound.
        until(lambda: status(mount)[0]["state"] == "degraded", "status says it", 1 + 2)
        assert sorted(os.listdir(mount.path)) == ["first", "second"]

        # A mount that is new has nothing in memory.
        start = time.monotonic()
        for options, code in (((), 13), (("ro",), 13), (("ro", "snapshot=first"), 13)):
            said = volume.mount_refused(code, KEY_TIMEOUT, *options) if options else said_by_writer(volume)
            assert key.key.key_id in said and aws.fake.host in said, said
        assert time.monotonic() - start < 3 * (2 + 3)
        start = time.monotonic()
    assert time.monotonic() - start < 6    # it ends while the service is away
    key.restore()
    with volume.mount("ro") as mount:
        check_backup(mount.path / "first", 200)
        check_backup(mount.path / "second", 100)


def said_by_writer(volume):
    """The volume is mounted: a copy of it is not."""
    copy = volume.sandbox.directory("copy")
    subprocess.run(["cp", "-a", f"{volume.backing}/.", copy], check=True)
    return volume.sandbox.open(copy).mount_refused(13, KEY_TIMEOUT)


# ---- Requests that wait ----

def timed(function, *arguments):
    start = time.monotonic()
    return function(*arguments), time.monotonic() - start


def test_many_who_want_the_same_key_ask_once(sandbox, aws, key, volume):
    with volume.mount("ro", "key_timeout=20s") as mount:
        # The mount has opened one data key of each KEK to test it.
        aws.fake.fail("Decrypt", hang(2), times=None)
        before = aws.fake.count("Decrypt")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(read, mount.path / name / "file") for name in "ab" for _ in range(10)]
            time.sleep(0.7)
            # Nobody needs a key for this, and nobody who waits is in the way.
            names, took_s = timed(os.listdir, mount.path)
            assert sorted(names) == ["a", "b"] and took_s < 0.5
            assert timed(os.stat, mount.path / "a")[1] < 0.5 and timed(os.statvfs, mount.path)[1] < 0.5
            assert [one.result() for one in waiting] == [b"a"] * 10 + [b"b"] * 10
        assert 1 <= aws.fake.count("Decrypt") - before <= 2


READER = """
import os, signal, sys, time
class Interrupted(Exception): pass
def interrupt(*_): raise Interrupted
signal.signal(signal.SIGUSR1, interrupt)
print(flush=True)
start = time.monotonic()
try:
    os.stat(sys.argv[1])
    print("answered", flush=True)
except Interrupted:
    print(time.monotonic() - start, flush=True)
"""


def waiting_reader(path):
    process = subprocess.Popen([sys.executable, "-c", READER, path], text=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(0.7)    # it waits now
    return process


@pytest.fixture
def closed(volume):
    """A mount, and the name of a snapshot whose data key it has not opened, and of one that it has."""
    with volume.mount("key_timeout=3s") as mount:
        assert read(mount.path / "a" / "file") == b"a"
        yield mount, mount.path / "b" / "file", mount.path / "a" / "file"


def test_an_interrupted_request_ends_at_once(sandbox, aws, closed):
    mount, path, opened = closed
    before = aws.fake.count("Decrypt")
    aws.fake.fail("Decrypt", hang(2.5), times=1)
    for signal_number in (signal.SIGUSR1, signal.SIGKILL):
        process = waiting_reader(path)
        start = time.monotonic()
        process.send_signal(signal_number)
        told = process.stdout.readline()
        process.wait(5)
        assert time.monotonic() - start < 0.5, signal_number
        if signal_number == signal.SIGUSR1:
            assert 0.5 < float(told) < 1.4, told
        else:
            assert process.returncode == -signal.SIGKILL
        process.stdout.close()
    assert read(opened) == b"a"
    # What they asked for is not lost for the next one.
    value, took_s = timed(read, path)
    assert value == b"b" and took_s < 2.5
    assert aws.fake.count("Decrypt") <= before + 2


def test_a_request_ends_with_its_deadline_and_the_failure_is_kept(sandbox, aws, closed):
    _, path, opened = closed
    aws.fake.fail("Decrypt", hang(30), times=None)
    value, took_s = timed(read, path)
    assert value == "ETIMEDOUT" and 2.5 < took_s < 5, (value, took_s)
    assert read(opened) == b"a"
    asked = aws.fake.count("Decrypt")
    for _ in range(5):
        value, took_s = timed(read, path)
        assert value in ("ETIMEDOUT", "EHOSTUNREACH") and took_s < 0.5
    assert aws.fake.count("Decrypt") == asked
    aws.fake.heal()
    took_s = until(lambda: read(path) == b"b", "the failure is forgotten", 9)
    assert took_s > 3 and aws.fake.count("Decrypt") == asked + 1


def test_failures_are_forgotten_when_somebody_asks(sandbox, aws, key, closed):
    mount, path, _ = closed
    key.silence()
    assert read(path) in ("EHOSTUNREACH", "ETIMEDOUT")
    key.restore()
    assert read(path) in ("EHOSTUNREACH", "ETIMEDOUT")
    os.kill(mount.pid(), signal.SIGHUP)
    until(lambda: read(path) == b"b", "it is asked again", 2.5)


def test_a_mount_ends_while_requests_wait(sandbox, aws, closed):
    mount, path, _ = closed
    aws.fake.fail("Decrypt", hang(5), times=None)
    process = waiting_reader(path)
    process.kill()
    process.wait(5)
    process.stdout.close()
    _, took_s = timed(mount.umount)
    assert took_s < 2    # sooner than key_timeout
