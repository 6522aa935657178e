# SPDX-License-Identifier: Apache-2.0
"""Whoever can write the backing directory cannot make a mount return a wrong byte."""

import errno
import os
import shutil

import pytest
from snapcrypt import cut, extend, flip, overwrite, swap, zero

BLOCK = 4096
SEALED = BLOCK + 28
HEADER = 128
LOG = r"not authentic|unterminated|not a file of this volume|header|block"


@pytest.fixture
def small(sandbox):
    """Files of several sizes in a volume with small blocks: (volume, name -> (content, backing file))."""
    volume = sandbox.init("--block-size", str(BLOCK))
    files = {}
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        for name, size in (("empty", 0), ("tiny", 11), ("one", BLOCK), ("two", BLOCK + 5), ("three", 3 * BLOCK + 700)):
            with volume.new_files() as made:
                content = os.urandom(size)
                (mount.path / "s" / name).write_bytes(content)
            files[name] = (content, made[0])
    return volume, files


def outcome(mount, name):
    """What reading gives: bytes, or None for EIO at open or read."""
    try:
        with open(mount.path / "s" / name, "rb", buffering=0) as file:
            parts = []
            while part := file.read(1 << 20):
                parts.append(part)
            return b"".join(parts)
    except OSError as error:
        assert error.errno == errno.EIO, error
        return None


def prefix_read(mount, name, size):
    """All bytes that single reads of 512 bytes give; None where they are refused."""
    found = {}
    try:
        descriptor = os.open(mount.path / "s" / name, os.O_RDONLY)
    except OSError as error:
        assert error.errno == errno.EIO, error
        return found
    try:
        for offset in range(0, size, 512):
            try:
                found[offset] = os.pread(descriptor, 512, offset)
            except OSError as error:
                assert error.errno == errno.EIO, error
    finally:
        os.close(descriptor)
    return found


def check_all(sandbox, volume, files, damaged, *, writable):
    """DAMAGED files give EIO, and never a byte that was not written there; the log names them."""
    sandbox.allow(LOG)
    with volume.mount(*([] if writable else ["ro"])) as mount:
        for name, (content, _) in files.items():
            if name not in damaged:
                assert outcome(mount, name) == content, name
                continue
            assert outcome(mount, name) is None, f"{name} was read in spite of the damage"
            for offset, part in prefix_read(mount, name, len(content) + BLOCK).items():
                assert part == content[offset:offset + 512] or part == b"", f"{name}: wrong bytes at {offset}"
        log = mount.log()
    for name in damaged:
        assert files[name][1].name in log or name in log, f"the log does not name {name}:\n{log}"


def copies(sandbox, volume):
    """A fresh copy of the volume, to be damaged, each time."""
    while True:
        target = sandbox.directory("copy") / "v"
        shutil.copytree(volume.backing, target, symlinks=True)
        yield sandbox.open(target)


def positions(size):
    """One byte of every class: header fields, nonces, ciphertexts, tags of every block."""
    yield from (0, 7, 8, 10, 11, 12, 15, 16, 31, 32, 47, 48, 63, 64, 87, 88, 95, 96, 127)
    start = HEADER
    while start < size:
        end = min(start + SEALED, size)
        yield from sorted({start, start + 11, min(start + 12, end - 17), (start + end) // 2, end - 17, end - 16, end - 1} &
                          set(range(start, end)))
        start = end


def test_every_flipped_byte_class_is_noticed(sandbox, small):
    """S: one flipped bit anywhere gives EIO; all flips of one file are tried under one mount."""
    volume, files = small
    sandbox.allow(LOG)
    with volume.mount("ro") as mount:
        for name, (content, path) in files.items():
            original = path.read_bytes()
            for offset in positions(len(original)):
                flip(path, offset)
                drop_caches(mount)
                assert outcome(mount, name) is None, f"{name}: flipped byte {offset} was not noticed"
                overwrite(path, 0, original)
            drop_caches(mount)
            assert outcome(mount, name) == content


def test_every_byte_of_a_small_file(sandbox, small):
    volume, files = small
    sandbox.allow(LOG)
    content, path = files["tiny"]
    original = path.read_bytes()
    with volume.mount() as mount:
        for offset in range(len(original)):
            flip(path, offset, 0x80)
            drop_caches(mount)
            assert outcome(mount, "tiny") is None, f"byte {offset}"
            overwrite(path, 0, original)
        drop_caches(mount)
        assert outcome(mount, "tiny") == content


def drop_caches(mount):
    """The attacker waits until nothing is cached any more."""
    with open("/proc/sys/vm/drop_caches", "w") as control:
        control.write("3")


def test_every_cut_is_noticed(sandbox, small):
    volume, files = small
    sandbox.allow(LOG)
    content, path = files["three"]
    original = path.read_bytes()
    sizes = {0, 1, HEADER - 1, HEADER, HEADER + 27, HEADER + 28, len(original) - 1, len(original) - 28}
    for block in range(1, 4):
        boundary = HEADER + block * SEALED
        sizes |= {boundary - 1, boundary, boundary + 1, boundary + 27, boundary + 28, boundary + 29, boundary - SEALED // 2}
    with volume.mount("ro") as mount:
        for size in sorted(sizes):
            cut(path, size)
            drop_caches(mount)
            assert outcome(mount, "three") is None, f"cut at {size} was not noticed"
            path.write_bytes(original)
        drop_caches(mount)
        assert outcome(mount, "three") == content


DAMAGES = {
    "blocks swapped inside": (lambda f: swap(f["three"][1], HEADER, f["three"][1], HEADER + SEALED, SEALED), ["three"]),
    "blocks swapped between": (lambda f: swap(f["three"][1], HEADER, f["two"][1], HEADER, SEALED), ["three", "two"]),
    "block zeroed": (lambda f: zero(f["three"][1], HEADER + SEALED, SEALED), ["three"]),
    "only block zeroed": (lambda f: zero(f["one"][1], HEADER, SEALED), ["one"]),
    "last block zeroed": (lambda f: zero(f["tiny"][1], HEADER, 39), ["tiny"]),
    "extended by zeros": (lambda f: extend(f["two"][1], bytes(SEALED)), ["two"]),
    "extended by one byte": (lambda f: extend(f["tiny"][1], b"\0"), ["tiny"]),
    "extended by an empty block of another file": (
        lambda f: extend(f["one"][1], f["empty"][1].read_bytes()[HEADER:]), ["one"]),
    "0 bytes": (lambda f: cut(f["two"][1], 0), ["two"]),
    "header of another file": (lambda f: overwrite(f["two"][1], 0, f["three"][1].read_bytes()[:HEADER]), ["two"]),
    "bodies exchanged": (lambda f: swap(f["one"][1], HEADER, f["two"][1], HEADER, SEALED), ["one", "two"]),
    "header zeroed": (lambda f: zero(f["one"][1], 0, HEADER), ["one"]),
    "sparse flag set": (lambda f: flip(f["three"][1], 12, 0x01), ["three"]),
    "plain file in its place": (lambda f: f["tiny"][1].write_bytes(b"plaintext of an attacker, long enough to be a file"
                                                                   * 10), ["tiny"]),
}


@pytest.mark.parametrize("writable", [False, True], ids=["read-only", "writable"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda name: name.replace(" ", "-"))
def test_damage_gives_eio_and_names_the_file(sandbox, small, damage, writable):
    volume, files = small
    change, damaged = DAMAGES[damage]
    change(files)
    check_all(sandbox, volume, files, damaged, writable=writable)


def test_names_targets_and_attributes_are_authenticated(sandbox, volume):
    """A changed name is not shown, a changed target or attribute is EIO."""
    sandbox.allow(LOG + r"|name|target|attribute")
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"x")
        os.setxattr(mount.path / "s" / "file", "user.note", b"genuine")
        (mount.path / "s" / "link").symlink_to("target")
    backing = volume.backing / "s"
    link = next(path for path in backing.iterdir() if path.is_symlink())
    target = os.readlink(link)
    link.unlink()
    link.symlink_to(("A" if target[30] != "A" else "B").join((target[:30], target[31:])))
    file = next(path for path in backing.iterdir() if not path.is_symlink() and not path.name.startswith(".snapcrypt"))
    name = next(name for name in os.listxattr(file) if name.startswith("user.snapcrypt.x."))
    value = bytearray(os.getxattr(file, name))
    value[-1] ^= 1
    os.setxattr(file, name, bytes(value))
    with volume.mount("ro") as mount:
        with pytest.raises(OSError) as refusal:
            os.readlink(mount.path / "s" / "link")
        assert refusal.value.errno == errno.EIO
        with pytest.raises(OSError) as refusal:
            os.getxattr(mount.path / "s" / "file", "user.note")
        assert refusal.value.errno == errno.EIO
    file.rename(file.with_name("A" * len(file.name)))
    with volume.mount("ro") as mount:
        assert os.listdir(mount.path / "s") == ["link"]


def test_a_planted_symlink_is_never_followed(sandbox, volume):
    sandbox.allow(LOG + "|name|target")
    outside = sandbox.directory("outside")
    (outside / "file").write_bytes(b"outside")
    with volume.mount() as mount:
        (mount.path / "s" / "directory").mkdir(parents=True)
        (mount.path / "s" / "directory" / "file").write_bytes(b"inside")
    directory = next(path for path in (volume.backing / "s").iterdir() if path.is_dir())
    shutil.rmtree(directory)
    directory.symlink_to(outside)
    with volume.mount() as mount:
        with pytest.raises(OSError):
            os.listdir(mount.path / "s" / "directory")
        with pytest.raises(OSError):
            (mount.path / "s" / "directory" / "planted").write_bytes(b"x")
    assert os.listdir(outside) == ["file"]
