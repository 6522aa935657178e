# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed while a writer syncs: what was acknowledged is there."""

import errno
import os
import random
import subprocess
import sys
import textwrap
import time

import pytest

KILLS = int(os.environ.get("SNAPCRYPT_KILLS", "6"))

# Writes pages with a running number and logs each number, on another filesystem, after its fsync.
WRITER = textwrap.dedent("""
    import os, random, sys
    target, log, mode, seed = sys.argv[1:]
    draw = random.Random(int(seed))
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    PAGE = 8192
    def page(number):
        return number.to_bytes(8, "little") * (PAGE // 8)
    file = os.open(target, os.O_RDWR | os.O_CREAT)
    if mode == "in-place":
        for place in range(32):
            os.pwrite(file, page(0), place * PAGE)
        os.fsync(file)
    for number in range(1, 1 << 30):
        place = number - 1 if mode == "append" else draw.randrange(32)
        size = 700 if mode == "small" else PAGE
        if mode == "small":
            place = number - 1
            os.pwrite(file, (number.to_bytes(8, "little") * PAGE)[:size], place * size)
        else:
            os.pwrite(file, page(number), place * PAGE)
        os.fsync(file)
        os.write(log, b"%d %d\\n" % (place, number))
""")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["append", "in-place", "small"])
def test_acknowledged_writes_survive_a_killed_daemon(sandbox, mode):
    volume = sandbox.init()
    draw = random.Random(mode)
    script = sandbox.root / "writer.py"
    script.write_text(WRITER)
    for attempt in range(KILLS):
        mount = volume.mount()
        (mount.path / "s").mkdir(exist_ok=True)
        log = sandbox.root / f"acknowledged-{attempt}"
        target = mount.path / "s" / f"file-{attempt}"
        writer = subprocess.Popen([sys.executable, str(script), str(target), str(log), mode, str(attempt)],
                                  stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not log.exists() or log.stat().st_size == 0:
            assert writer.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(draw.random() * 0.3)
        mount.kill()
        writer.wait(30)
        check(volume, f"file-{attempt}", log, mode)


def check(volume, name, log, mode):
    size = 700 if mode == "small" else 8192
    lines = [line.split() for line in log.read_text().splitlines() if line.count(" ") == 1]
    acknowledged = {}
    for place, number in lines:
        acknowledged[int(place)] = int(number)
    assert acknowledged
    for options in (["ro"], []):
        with volume.mount(*options) as mount:
            descriptor = os.open(mount.path / "s" / name, os.O_RDONLY)
            for place, number in acknowledged.items():
                found = os.pread(descriptor, size, place * size)
                value = int.from_bytes(found[:8], "little")
                # Later, unacknowledged writes may be there, whole.
                assert value >= number and len(found) == size, f"{place}: {value}, acknowledged {number}"
                assert found == (value.to_bytes(8, "little") * size)[:size], f"page {place} is mixed"
            os.close(descriptor)


def test_a_dead_mount_stays_dead_and_can_be_replaced(sandbox, volume):
    mount = volume.mount()
    (mount.path / "s").mkdir()
    os.kill(mount.pid(), 9)
    mount.process.wait(30)
    with pytest.raises(OSError) as refusal:
        os.listdir(mount.path)
    assert refusal.value.errno == errno.ENOTCONN
    assert sandbox.run("check-mounted", mount.path, code=16)
    with volume.mount("replace_dead", at=mount.path) as again:
        assert os.listdir(again.path) == ["s"]
