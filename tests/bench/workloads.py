# SPDX-License-Identifier: Apache-2.0
"""What is timed, with the clock of run.py."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

from keys_check import keys_check
from systems import run

PAGE = 8192


def drop_caches():
    run("sync")
    Path("/proc/sys/vm/drop_caches").write_text("3")


class Data:
    """Source trees, made once outside of every system compared."""

    def __init__(self, root, scale):
        self.root, self.scale = root, scale
        self.large_size = int(2 * (1 << 30) * scale)
        self.small_count = int(20000 * scale)
        draw = random.Random(1)
        self.database, self.small, self.changed = root / "database", root / "small", root / "changed"
        self._make_database(draw)
        self._make_small(draw)
        shutil.copytree(self.database, self.changed)
        self._change_pages(draw)

    def _make_database(self, draw):
        for number in range(max(4, int(60 * self.scale))):
            path = self.database / str(number // 10) / f"{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                for _ in range(draw.randrange(4, 16)):
                    file.write(draw.randbytes(1 << 20))

    def _make_small(self, draw):
        for number in range(self.small_count):
            path = self.small / str(number // 200) / f"file-{number}"
            if number % 200 == 0:
                path.parent.mkdir(parents=True)
            path.write_bytes(draw.randbytes(draw.randrange(100, 8000)))

    def _change_pages(self, draw):
        for path in self.changed.rglob("*"):
            if not path.is_file():
                continue
            with open(path, "r+b") as file:
                pages = path.stat().st_size // PAGE
                for _ in range(max(1, pages // 100)):
                    file.seek(draw.randrange(pages) * PAGE)
                    file.write(draw.randbytes(PAGE))


def write_file(path, size, call):
    buffer = random.Random(2).randbytes(call)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(size // call):
        os.write(descriptor, buffer)
    os.fsync(descriptor)
    os.close(descriptor)


def read_file(path, call=1 << 20):
    descriptor = os.open(path, os.O_RDONLY)
    buffer = bytearray(call)
    with open(descriptor, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def fio(path, mode, size, seconds):
    output = run("fio", "--name=job", f"--filename={path}", f"--rw={mode}", "--bs=4k", f"--size={size}", "--ioengine=psync",
                 "--numjobs=1", "--time_based", f"--runtime={seconds}", "--output-format=json", "--randrepeat=1")
    job = json.loads(output[output.index("{"):])["jobs"][0]
    return job["read" if "read" in mode else "write"]["iops"]


def copy(source, target):
    run("cp", "-a", source, target)


def rsync(*arguments):
    run("rsync", "-a", *arguments)


# Each takes (system, data, clock): clock(name) times its block, clock.value(name, rate) records a rate.

def sequential(system, data, clock):
    for call, label in ((1 << 20, "1 MiB calls"), (128 << 10, "128 KiB calls")):
        path = system.path / "large"
        with clock(f"sequential write, {label}, fsync"):
            write_file(path, data.large_size, call)
    system.umount()
    drop_caches()
    system.mount()
    path = system.path / "large"
    with clock("sequential read, cold"):
        read_file(path)
    with clock("sequential read, warm"):
        read_file(path)
    path.unlink()


def database(system, data, clock):
    with clock("cp -a, database tree"):
        copy(data.database, system.path / "cp")
    shutil.rmtree(system.path / "cp")
    with clock("rsync -a, database tree"):
        rsync(f"{data.database}/", f"{system.path}/rsync/")
    with clock("rsync -a, nothing to do"):
        rsync(f"{data.database}/", f"{system.path}/rsync/")
    with clock("rsync --inplace, 1 % of pages"):
        rsync("--inplace", "--no-whole-file", "--ignore-times", f"{data.changed}/", f"{system.path}/rsync/")
    run("sync", "-f", system.path / "rsync")
    system.umount()
    drop_caches()
    system.mount()
    with clock("rsync --inplace, 1 % of pages, files of an earlier session"):
        rsync("--inplace", "--no-whole-file", "--ignore-times", f"{data.database}/", f"{system.path}/rsync/")
    system.umount()
    drop_caches()
    system.mount()
    with clock("tar of the database tree, cold"):
        subprocess.run(f"tar -C '{system.path}' -cf - rsync | cat >/dev/null", shell=True, check=True)
    shutil.rmtree(system.path / "rsync")


def small_files(system, data, clock):
    with clock("cp -a, small files"):
        copy(data.small, system.path / "cp")
    with clock("rsync -a, small files"):
        rsync(f"{data.small}/", f"{system.path}/rsync/")
    with clock("ls -lR, small files, warm"):
        run("ls", "-lR", system.path / "rsync")
    system.umount()
    drop_caches()
    system.mount()
    with clock("ls -lR, small files, cold"):
        run("ls", "-lR", system.path / "rsync")
    system.umount()
    drop_caches()
    system.mount()
    with clock("tar, small files, cold"):
        subprocess.run(f"tar -C '{system.path}' -cf - rsync | cat >/dev/null", shell=True, check=True)
    system.umount()
    drop_caches()
    system.mount()
    with clock("rm -rf, small files, cold"):
        run("rm", "-rf", system.path / "rsync")
    run("rm", "-rf", system.path / "cp")


def appends(system, data, clock):
    path = system.path / "log"
    buffer = bytes(range(256)) * 16
    with clock("4 KiB appends"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for _ in range(int(20000 * data.scale)):
            os.write(descriptor, buffer)
        os.close(descriptor)
    path.unlink()


def random_io(system, data, clock):
    path, size, seconds = system.path / "random", max(64 << 20, int(512 * (1 << 20) * data.scale)), 5
    write_file(path, size, 1 << 20)
    system.umount()
    drop_caches()
    system.mount()
    path = system.path / "random"
    clock.value("fio 4 KiB random read", fio(path, "randread", size, seconds))
    path.unlink()
    # Written in this session, never synced: what the journal does not touch.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for _ in range(size >> 20):
        os.write(descriptor, bytes(1 << 20))
    os.close(descriptor)
    clock.value("fio 4 KiB random write", fio(path, "randwrite", size, seconds))
    system.umount()
    system.mount()
    path = system.path / "random"
    clock.value("fio 4 KiB random write, file of an earlier session", fio(path, "randwrite", size, seconds))
    path.unlink()


def restore(system, data, clock):
    """Out of the backups: snapcrypt straight through the engine, the others with cp -a; plain is cp -a of the plaintext."""
    for name, source in (("database tree", data.database), ("small files", data.small)):
        copy(source, system.path / "kept")
        system.umount()
        drop_caches()
        target = system.root / "target"
        with clock(f"restore, {name}, cold"):
            system.restore("kept", target)
        shutil.rmtree(target)
        with clock(f"restore, {name}, warm"):
            system.restore("kept", target)
        shutil.rmtree(target)
        system.mount()
        shutil.rmtree(system.path / "kept")


WORKLOADS = {workload.__name__: workload for workload in (sequential, database, small_files, appends, random_io,
                                                             restore)}
WORKLOADS["keys-check"] = keys_check

# Those that only our own program runs, and that need no mount.
COMMANDS = {"keys-check"}
