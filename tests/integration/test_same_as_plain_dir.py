# SPDX-License-Identifier: Apache-2.0
"""Random operations give the same results in the mount and in a plain directory."""

import ctypes
import errno
import mmap
import os
import random

import pytest
from trees import assert_same

OPERATIONS = int(os.environ.get("SNAPCRYPT_MODEL_OPERATIONS", "100000")) // 3
MAX_SIZE = 300_000
LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16


def fallocate(descriptor, mode, offset, size):
    if LIBC.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(size)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


class Side:
    """One of the two directories, with its own open files."""

    def __init__(self, root):
        self.root = root
        self.open = {}

    def path(self, name):
        return self.root / name

    def descriptor(self, name, flags):
        key = (name, flags)
        if key not in self.open:
            self.open[key] = os.open(self.path(name), flags)
        return self.open[key]

    def forget(self, name):
        for key in [key for key in self.open if key[0] == name]:
            os.close(self.open.pop(key))

    def close(self):
        for descriptor in self.open.values():
            os.close(descriptor)
        self.open.clear()


def op_write(side, draw, name):
    descriptor = side.descriptor(name, draw.choice((os.O_WRONLY, os.O_RDWR)))
    size = draw.choice((1, 13, 512, 4096, 8192, 16384, 65536, 70000))
    return os.pwrite(descriptor, draw.randbytes(size), draw.randrange(MAX_SIZE))


def op_write_page(side, draw, name):
    descriptor = side.descriptor(name, os.O_RDWR)
    return os.pwrite(descriptor, draw.randbytes(8192), draw.randrange(MAX_SIZE // 8192) * 8192)


def op_append(side, draw, name):
    with open(side.path(name), "ab") as file:
        return file.write(draw.randbytes(draw.choice((1, 100, 4096, 5000))))


def op_read(side, draw, name):
    descriptor = side.descriptor(name, draw.choice((os.O_RDONLY, os.O_RDWR)))
    return os.pread(descriptor, draw.choice((1, 4096, 10000, 131072)), draw.randrange(MAX_SIZE))


def op_truncate(side, draw, name):
    size = draw.choice((0, 1, 4096, 16384, 65536, draw.randrange(MAX_SIZE), draw.randrange(MAX_SIZE)))
    os.truncate(side.path(name), size)


def op_ftruncate(side, draw, name):
    os.ftruncate(side.descriptor(name, os.O_RDWR), draw.randrange(MAX_SIZE))


def op_open_truncating(side, draw, name):
    with open(side.path(name), "wb") as file:
        file.write(draw.randbytes(draw.randrange(3000)))


def op_punch(side, draw, name):
    fallocate(side.descriptor(name, os.O_RDWR), PUNCH | KEEP_SIZE, draw.randrange(MAX_SIZE), draw.randrange(1, 100_000))


def op_zero(side, draw, name):
    fallocate(side.descriptor(name, os.O_RDWR), ZERO | draw.choice((0, KEEP_SIZE)), draw.randrange(MAX_SIZE // 2),
              draw.randrange(1, 100_000))


def op_allocate(side, draw, name):
    fallocate(side.descriptor(name, os.O_RDWR), draw.choice((0, KEEP_SIZE)), draw.randrange(MAX_SIZE // 2),
              draw.randrange(1, 100_000))


def op_mmap(side, draw, name):
    descriptor = side.descriptor(name, os.O_RDWR)
    size = os.fstat(descriptor).st_size
    if size < 2:
        return None
    with mmap.mmap(descriptor, size) as view:
        start = draw.randrange(size - 1)
        length = min(draw.randrange(1, 20_000), size - start)
        found = view[start:start + length]
        if draw.random() < 0.5:
            view[start:start + length] = draw.randbytes(length)
            view.flush()
    return found


def op_sync(side, draw, name):
    descriptor = side.descriptor(name, os.O_RDWR)
    draw.choice((os.fsync, os.fdatasync))(descriptor)


def op_close(side, draw, name):
    side.forget(name)


def op_stat(side, draw, name):
    status = os.stat(side.path(name))
    return status.st_size, status.st_mode, status.st_nlink


def op_create(side, draw, name):
    with open(side.path(name), "xb") as file:
        file.write(draw.randbytes(draw.randrange(100)))


def op_unlink(side, draw, name):
    os.unlink(side.path(name))


def op_rename(side, draw, name):
    other = pick(draw)
    os.rename(side.path(name), side.path(other))


def op_link(side, draw, name):
    os.link(side.path(name), side.path(pick(draw)))


def op_chmod(side, draw, name):
    os.chmod(side.path(name), draw.choice((0o600, 0o644, 0o755)))


def op_attribute(side, draw, name):
    os.setxattr(side.path(name), "user." + draw.choice("abc"), draw.randbytes(draw.randrange(60)))


def op_list(side, draw, name):
    return sorted(os.listdir(side.root)), sorted(os.listxattr(side.path(name)))


def op_copy_range(side, draw, name):
    source = side.descriptor(name, os.O_RDONLY)
    target = side.descriptor(pick(draw), os.O_RDWR)
    if os.path.samestat(os.fstat(source), os.fstat(target)):
        return None
    offset = draw.randrange(MAX_SIZE)
    length = draw.randrange(1, 50_000)
    copied = 0
    while copied < length:
        part = os.copy_file_range(source, target, length - copied, offset + copied, offset + copied)
        if part == 0:
            break
        copied += part
    return copied


WEIGHTS = {op_write: 20, op_write_page: 10, op_append: 8, op_read: 20, op_truncate: 4, op_ftruncate: 3,
           op_open_truncating: 2, op_punch: 4, op_zero: 3, op_allocate: 2, op_mmap: 4, op_sync: 6, op_close: 6,
           op_stat: 6, op_create: 4, op_unlink: 2, op_rename: 3, op_link: 2, op_chmod: 2, op_attribute: 3, op_list: 2,
           op_copy_range: 2}
NAMES = [f"file-{number}" for number in range(8)] + ["long-" * 45]


def pick(draw):
    return draw.choice(NAMES)


def apply(side, operation, seed, name):
    """The result, or the error, of one operation; the same random numbers on both sides."""
    try:
        return operation(side, random.Random(seed), name)
    except OSError as error:
        return errno.errorcode[error.errno]


def compare(sides, name):
    """Contents as both sides show them through a fresh descriptor."""
    contents = []
    for side in sides:
        try:
            contents.append(side.path(name).read_bytes())
        except FileNotFoundError:
            contents.append(None)
    assert contents[0] == contents[1], f"{name} differs"


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("block_size", [4096, 16384, 65536])
def test_random_operations_match(sandbox, block_size):
    volume = sandbox.init("--block-size", str(block_size))
    plain = sandbox.directory("plain")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    operations, weights = list(WEIGHTS), list(WEIGHTS.values())
    mount = volume.mount()
    (mount.path / "s").mkdir()
    sides = (Side(plain), Side(mount.path / "s"))
    for number in range(OPERATIONS):
        operation = draw.choices(operations, weights)[0]
        name, operation_seed = pick(draw), draw.randrange(1 << 62)
        results = [apply(side, operation, operation_seed, name) for side in sides]
        assert results[0] == results[1], f"seed {seed}, operation {number}: {operation.__name__}({name}) gives " \
            f"{str(results[0])[:200]} in a plain directory, {str(results[1])[:200]} in the mount"
        if number % 50 == 0:
            compare(sides, name)
        if number % 5000 == 4999:
            # A new daemon: what it finds is what was written.
            for side in sides:
                side.close()
            mount.umount()
            mount = volume.mount(at=mount.path)
            for each in NAMES:
                compare(sides, each)
    for side in sides:
        side.close()
    for name in NAMES:
        compare(sides, name)
    os.utime(plain, ns=(0, 0))
    os.utime(mount.path / "s", ns=(0, 0))
    assert_same_contents(plain, mount.path / "s")
    mount.umount()


def assert_same_contents(plain, mounted):
    for name in os.listdir(plain):
        status = os.stat(plain / name)
        os.utime(plain / name, ns=(1, 1))
        os.utime(mounted / name, ns=(1, 1))
        assert os.stat(mounted / name).st_mode == status.st_mode
    assert_same(plain, mounted)
