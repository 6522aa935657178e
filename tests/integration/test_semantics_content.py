# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, "Content"."""

import ctypes
import errno
import mmap
import os
import subprocess
import sys
import textwrap

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 0x01, 0x02, 0x08, 0x10, 0x20
SIZES = [1, 4096, 65_536, 300_000]


def allocate(file, mode, offset, size):
    if LIBC.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(size)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@pytest.fixture
def place(mount):
    """A snapshot."""
    path = mount.path / "s"
    path.mkdir()
    return path


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR])
@pytest.mark.parametrize("size", SIZES)
def test_readers_see_what_was_written(place, flags, size):
    """S-10: a writer past the page cache, readers in it, from before and from after."""
    path = place / "file"
    path.write_bytes(b"0" * size)
    early = os.open(path, os.O_RDONLY)
    view = mmap.mmap(early, size, mmap.MAP_SHARED, mmap.PROT_READ)
    assert os.pread(early, size, 0) == view[:] == b"0" * size
    writer = os.open(path, flags)
    for turn in range(20):
        content = bytes([65 + turn]) * size
        os.pwrite(writer, content, 0)
        assert os.pread(early, size, 0) == content
        assert view[:] == content
        assert path.read_bytes() == content
    os.close(writer)
    view.close()
    os.close(early)


def test_a_writer_that_was_first_sees_later_readers(place):
    """S-10: the handle that goes past the page cache is there before anybody fills it."""
    path = place / "file"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(writer, b"1" * 200_000)
    reader = os.open(path, os.O_RDWR)
    assert os.pread(reader, 200_001, 0) == b"1" * 200_000
    os.pwrite(writer, b"2" * 1000, 100_000)
    assert os.pread(reader, 1002, 99_999) == b"1" + b"2" * 1000 + b"1"
    os.pwrite(reader, b"3" * 1000, 100_500)
    assert path.read_bytes()[99_999:101_501] == b"1" + b"2" * 500 + b"3" * 1000 + b"1"
    os.write(writer, b"4" * 10)
    assert os.fstat(reader).st_size == 200_010 and os.pread(reader, 20, 199_995) == b"1" * 5 + b"4" * 10
    os.close(writer)
    os.close(reader)


APPENDER = textwrap.dedent("""
    import os, sys
    path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(count):
        os.write(file, f"{name}{number:07d}\\n".encode())
    os.close(file)
""")


def test_appending_processes_do_not_overwrite_each_other(place):
    """S-11"""
    path = place / "log"
    writers = [subprocess.Popen([sys.executable, "-c", APPENDER, path, name, "400"]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = path.read_bytes().decode().split("\n")
    assert lines.pop() == "" and len(lines) == 1200
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [f"{name}{number:07d}" for number in range(400)]


def test_writes_through_a_mapping(volume):
    """S-12"""
    with volume.mount() as mount:
        path = mount.path / "s" / "file"
        path.parent.mkdir()
        path.write_bytes(bytes(200_000))
        file = os.open(path, os.O_RDWR)
        view = mmap.mmap(file, 200_000)
        view[70_000:70_005] = b"first"
        view.flush()
        assert path.read_bytes()[69_999:70_006] == b"\0first\0"
        other = os.open(path, os.O_WRONLY)
        os.pwrite(other, b"direct", 130_000)
        os.close(other)
        assert view[130_000:130_006] == b"direct"
        view[199_995:] = b"later"
        view.close()
        os.close(file)
        mount.kill()
    with volume.mount("ro") as mount:
        content = (mount.path / "s" / "file").read_bytes()
        assert content[70_000:70_005] == b"first" and content[130_000:130_006] == b"direct"
        assert content[199_995:] == b"later"


@pytest.mark.parametrize("size", [0, 5, 65_536, 5_000_000])
def test_closed_files_survive_a_killed_daemon(volume, size):
    """S-13"""
    content = os.urandom(size)
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        for number in range(5):
            with open(mount.path / "s" / f"file-{number}", "wb", buffering=0) as file:
                for start in range(0, size, 100_000):
                    file.write(content[start:start + 100_000])
        mount.kill()
    with volume.mount("ro") as mount:
        for number in range(5):
            assert (mount.path / "s" / f"file-{number}").read_bytes() == content


def test_synced_content_survives_a_killed_daemon(volume):
    """S-14: also when what was synced is being overwritten, block by block and across them."""
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        file = os.open(mount.path / "s" / "file", os.O_RDWR | os.O_CREAT)
        os.write(file, b"A" * 300_000)
        os.fsync(file)
        for offset in range(0, 300_000, 7_001):
            os.pwrite(file, b"B" * 3_000, offset)
        mount.kill()
        raises(os.close, file)
    with volume.mount() as mount:
        content = (mount.path / "s" / "file").read_bytes()
        assert len(content) >= 300_000 and set(content[:300_000]) <= set(b"AB")
        assert all(content[offset] == ord("A") for offset in range(0, 300_000) if offset % 7_001 >= 3_000)


def raises(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


@pytest.fixture
def small_volume(sandbox):
    """A volume on a filesystem of 8 MiB."""
    backing = sandbox.directory("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none", backing], check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs")
    yield sandbox.init(backing=backing)
    for mount in sandbox.mounts:
        if mount.is_running():
            mount.umount()
    subprocess.run(["umount", "-l", backing], check=True)


@pytest.mark.parametrize("how", ["write", "fsync", "close"])
def test_late_errors_reach_the_writer(sandbox, small_volume, how):
    """S-15: the filesystem below is full when acknowledged writes get there."""
    sandbox.allow("space|ENOSPC")
    with small_volume.mount() as mount:
        (mount.path / "s").mkdir()
        file = os.open(mount.path / "s" / "file", os.O_WRONLY | os.O_CREAT)
        found = None
        for _ in range(16 if how != "write" else 64):
            found = raises(os.write, file, bytes(1 << 20))
            if found:
                break
        if how == "fsync" and not found:
            found = raises(os.fsync, file)
        if how == "close" and not found:
            found = raises(os.close, file)
        else:
            raises(os.close, file)
        assert found == "ENOSPC"
        # What is there is well-formed, and removing it makes room.
        path = mount.path / "s" / "file"
        assert path.stat().st_size == len(path.read_bytes())
        path.unlink()
        path.write_bytes(b"fits")
        assert path.read_bytes() == b"fits"


def test_allocation(place):
    """S-16"""
    path = place / "file"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(file, b"x" * 200_000)
    allocate(file, KEEP_SIZE, 0, 1 << 20)
    assert os.fstat(file).st_size == 200_000
    allocate(file, 0, 0, 300_000)
    assert os.fstat(file).st_size == 300_000
    allocate(file, PUNCH_HOLE | KEEP_SIZE, 10_000, 100_000)
    allocate(file, ZERO_RANGE | KEEP_SIZE, 150_000, 10)
    allocate(file, ZERO_RANGE, 299_000, 2_000)
    for mode in (COLLAPSE_RANGE, INSERT_RANGE):
        assert raises(allocate, file, mode, 0, 65_536) in ("EOPNOTSUPP", "ENOTSUP")
    expected = bytearray(b"x" * 200_000 + bytes(101_000))
    expected[10_000:110_000] = bytes(100_000)
    expected[150_000:150_010] = bytes(10)
    assert path.read_bytes() == os.pread(file, 400_000, 0) == bytes(expected)
    os.close(file)


def test_holes(place):
    """S-16"""
    path = place / "sparse"
    with open(path, "wb") as file:
        file.seek(10 << 20)
        file.write(b"end")
    file = os.open(path, os.O_RDONLY)
    assert path.stat().st_blocks * 512 < 1 << 20
    data = os.lseek(file, 0, os.SEEK_DATA)
    assert 9 << 20 < data <= 10 << 20
    assert os.lseek(file, data, os.SEEK_HOLE) == (10 << 20) + 3
    assert os.lseek(file, 5 << 20, os.SEEK_HOLE) == 5 << 20
    assert raises(os.lseek, file, (10 << 20) + 3, os.SEEK_DATA) == "ENXIO"
    assert os.pread(file, 5, (10 << 20) - 2) == b"\0\0end"
    os.close(file)


def test_a_hole_over_the_block_of_an_empty_file_that_was_read(place):
    """S-16: what was in memory for the empty block is nothing of the hole that takes its place."""
    path = place / "sparse"
    path.touch()
    reader = os.open(path, os.O_RDONLY)
    assert os.read(reader, 1) == b""
    writer = os.open(path, os.O_RDWR)
    os.pwrite(writer, b"far", 5 << 20)
    os.pwrite(writer, b"in", 100)
    assert os.pread(reader, 104, 0) == bytes(100) + b"in" + bytes(2)
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_truncation(place, size):
    """S-17"""
    path = place / "file"
    content = os.urandom(200_000)
    path.write_bytes(content)
    os.truncate(path, size)
    expected = (content + bytes(1_000_000))[:size]
    assert path.stat().st_size == size and path.read_bytes() == expected
    with open(path, "r+b", buffering=0) as file:
        file.truncate(size + 100)
        assert file.read() == expected + bytes(100)
        file.truncate(size)
        file.truncate(size + 10)
    assert path.read_bytes() == expected + bytes(10)
    with open(path, "wb"):
        pass
    assert path.read_bytes() == b""
