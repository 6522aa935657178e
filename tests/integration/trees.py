# SPDX-License-Identifier: Apache-2.0
"""Directory trees for tests: odd ones, database-like ones, and how to compare them."""

import os
import random
import socket
import stat
import subprocess
from pathlib import Path


def run(*command, **options):
    """Run a program of the system; its output.  An exit code other than 0 fails the test, with what it said."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="surrogateescape", **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def make_odd_tree(root):
    """Everything that a backup may meet: names, types, links, holes, attributes, times, modes."""
    root.mkdir()
    (root / "plain.txt").write_bytes(b"line\n" * 1000)
    (root / "empty").write_bytes(b"")
    (root / "empty directory").mkdir()
    for size in (1, 4095, 4096, 65535, 65536, 65537, 200_000, 1 << 20):
        (root / f"size-{size}").write_bytes(random.Random(size).randbytes(size))
    names = os.fsencode(root / "names")
    os.mkdir(names)
    for name in (b"x" * 255, b"new\nline", b"invalid\xff\xfeutf8", b"-dash", b".dot", b" space ", b"=equal", b"~tilde",
                 b"y" * 176, b"y" * 175, "größe".encode(), b"*", b"a" * 174 + b"\xff"):
        Path(os.fsdecode(names + b"/" + name)).write_bytes(name)
    os.mkdir(names + b"/" + b"d" * 255)
    Path(os.fsdecode(names + b"/" + b"d" * 255 + b"/inside")).write_bytes(b"inside a long name")
    os.link(root / "plain.txt", root / "hard link")
    os.link(root / "plain.txt", root / "empty directory" / "another link")
    (root / "dangling").symlink_to("nowhere/at/all")
    (root / "long target").symlink_to("t/" * 450)
    (root / "to plain").symlink_to("plain.txt")
    with open(root / "sparse", "wb") as file:
        file.seek(10 << 20)
        file.write(b"in the middle")
        file.truncate(20 << 20)
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "character", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(root / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    _make_attributes(root)
    _make_times(root)


def _make_attributes(root):
    path = root / "attributes"
    path.write_bytes(b"has attributes")
    os.setxattr(path, "user.comment", b"a comment that is secret")
    os.setxattr(path, "user.empty", b"")
    os.setxattr(path, "user.binary", bytes(range(256)))
    os.setxattr(path, "trusted.backup", b"a trusted value")
    os.setxattr(root / "empty directory", "user.directory", b"on a directory")
    run("setfacl", "-m", "u:1234:rwx,g:2345:r", path)
    run("setfacl", "-d", "-m", "u:1234:rx", root / "empty directory")
    (root / "owned").write_bytes(b"owned by somebody")
    os.chown(root / "owned", 1234, 2345)
    os.lchown(root / "dangling", 1234, 2345)
    (root / "setuid").write_bytes(b"#!/bin/true\n")
    os.chmod(root / "setuid", 0o6755)
    (root / "capable").write_bytes(b"\x7fELF")
    run("setcap", "cap_net_bind_service=+ep", root / "capable")
    os.chmod(root / "empty directory", 0o3751)
    (root / "unreadable").write_bytes(b"nobody may read this")
    os.chmod(root / "unreadable", 0)


def _make_times(root):
    for name, seconds, nanoseconds in (("plain.txt", 1_000_000_000, 123_456_789), ("empty", -86_400, 1),
                                       ("size-1", -1_000_000_000, 999_999_999), ("empty directory", 946_684_800, 7)):
        os.utime(root / name, ns=(seconds * 10**9 + nanoseconds,) * 2)
    os.utime(root / "dangling", ns=(5 * 10**17 + 5,) * 2, follow_symlinks=False)
    os.utime(root, ns=(4 * 10**17 + 4,) * 2)


def make_database_tree(root, *, files=40, pages=64):
    """A data directory: files of 8 KiB pages with numbers and text in them, and small files."""
    draw = random.Random(42)
    root.mkdir()
    for number in range(files):
        directory = root / "base" / str(16384 + number // 20)
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / str(number), "wb") as file:
            for page in range(draw.randrange(1, pages)):
                file.write(number.to_bytes(4, "little") + page.to_bytes(4, "little") + draw.randbytes(4000) + bytes(4184))
    for number in range(100):
        (root / f"small-{number}.conf").write_bytes(draw.randbytes(draw.randrange(0, 3000)))


def assert_same(source, copy):
    """Nothing differs: contents, names, types, links, holes' contents, owners, modes, times, ACLs, attributes."""
    difference = run("rsync", "-aHAXSn", "--checksum", "--delete", "--itemize-changes", f"{source}/", f"{copy}/")
    assert difference == "", f"{source} and {copy} differ:\n{difference}"
