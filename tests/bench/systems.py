# SPDX-License-Identifier: Apache-2.0
"""The filesystems that are compared: how each is prepared, mounted, and how its daemon is found."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

PASSWORD = "a password for a benchmark"
TICKS = os.sysconf("SC_CLK_TCK")


def run(*command, **options):
    """Run a program; what it prints fails the benchmark if it fails."""
    done = subprocess.run([str(part) for part in command], stdin=options.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


class System:
    """One filesystem over a backing directory.  Mounting again finds what was written."""

    name = "plain"

    def __init__(self, root, tools):
        self.root, self.tools = root / self.name, tools
        self.backing, self.mountpoint = self.root / "backing", self.root / "mount"
        self.process = None
        for directory in (self.backing, self.mountpoint):
            directory.mkdir(parents=True)

    def prepare(self):
        """Once, before the first mount."""

    def mount(self):
        pass

    def umount(self):
        pass

    def restore(self, name, target):
        """Copy what was written as NAME out again; it is not mounted."""
        self.mount()
        run("cp", "-a", self.path / name, target)
        self.umount()

    @property
    def path(self):
        """Where files are written."""
        return self.backing

    def pids(self):
        """Processes that serve it."""
        return [self.process.pid] if self.process else []

    def cpu_s(self):
        """User and system seconds of the daemon so far."""
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def peak_kib(self):
        """Highest resident size of the daemon."""
        return sum(int(line.split()[1]) for pid in self.pids()
                   for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))


class Mounted(System):
    """Something with a daemon in the foreground, which is our child."""

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def mount(self):
        self.log = open(self.root / "log", "ab")
        self.process = subprocess.Popen([str(part) for part in self.command()], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env=self.environment())
        deadline = time.monotonic() + 60
        while not os.path.ismount(self.mountpoint):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not mount:\n{(self.root / 'log').read_text(errors='replace')}")
            time.sleep(0.02)

    def umount(self):
        if not self.process:
            return
        for _ in range(50):
            if subprocess.run(["fusermount3", "-u", str(self.mountpoint)], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.log.close()
        self.process = None

    @property
    def path(self):
        return self.mountpoint


class PassthroughLl(Mounted):
    """libfuse's example, without splice, with caching and attributes like ours: what FUSE costs without encryption."""

    name = "passthrough_ll"

    def command(self):
        return [self.tools / "passthrough_ll", "-f", "-o",
                f"source={self.backing},no_writeback,cache=always,timeout=3600,allow_other,xattr", self.mountpoint]

    def environment(self):
        # It allocates a buffer for every READ: from the heap, not by mapping fresh memory each time.
        return {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}


class Snapcrypt(Mounted):
    name = "snapcrypt"
    arguments = ()

    def environment(self):
        return {**os.environ, "SNAPCRYPT_CONFIG": str(self.root / "conf"), "SNAPCRYPT_STATE_DIR": str(self.root / "state"),
                "SNAPCRYPT_RUNTIME_DIR": str(self.root / "run")}

    def prepare(self):
        (self.root / "conf").write_text("")
        for name in ("state", "run"):
            (self.root / name).mkdir(mode=0o700)
        run(self.tools / "snapcrypt", "init", self.backing, *self.arguments, env=self.environment())

    def command(self):
        return [self.tools / "snapcrypt", "mount", self.backing, self.mountpoint, "-f"]

    def restore(self, name, target):
        run(self.tools / "snapcrypt", "restore", "-q", self.backing, "snapshot", target, "--unsealed",
            env=self.environment())

    def umount(self):
        if self.process:
            run(self.tools / "snapcrypt", "umount", self.mountpoint, env=self.environment())
        super().umount()

    @property
    def path(self):
        snapshot = self.mountpoint / "snapshot"
        if not snapshot.is_dir():
            snapshot.mkdir()
        return snapshot


class SnapcryptLargeBlocks(Snapcrypt):
    name = "snapcrypt-64k"
    arguments = ("--block-size", "65536")


class SnapcryptOff(Snapcrypt):
    """Our own mount without encryption."""

    name = "snapcrypt-off"
    arguments = ("--encryption", "off")


class Gocryptfs(Mounted):
    name = "gocryptfs"

    def prepare(self):
        (self.root / "password").write_text(PASSWORD)
        run("gocryptfs", "-init", "-q", "-scryptn", "10", "-passfile", self.root / "password", self.backing)

    def command(self):
        return ["gocryptfs", "-fg", "-q", "-acl", "-allow_other", "-passfile", self.root / "password", self.backing,
                self.mountpoint]


class Securefs(Mounted):
    name = "securefs"

    def prepare(self):
        run("securefs", "create", "--pass", PASSWORD, "-r", "1", self.backing)

    def command(self):
        return ["securefs", "mount", "--pass", PASSWORD, "-x", self.backing, self.mountpoint]


class Cryfs(Mounted):
    name = "cryfs"

    def environment(self):
        return {**os.environ, "CRYFS_FRONTEND": "noninteractive", "CRYFS_NO_UPDATE_CHECK": "true",
                "CRYFS_LOCAL_STATE_DIR": str(self.root / "state")}

    def command(self):
        return ["bash", "-c", f"exec cryfs -f '{self.backing}' '{self.mountpoint}' <<<'{PASSWORD}'"]


class Encfs(Mounted):
    name = "encfs"

    def command(self):
        return ["encfs", "-f", "--standard", f"--extpass=echo '{PASSWORD}'", self.backing, self.mountpoint]


SYSTEMS = {system.name: system for system in (System, PassthroughLl, SnapcryptOff, Snapcrypt, SnapcryptLargeBlocks,
                                              Gocryptfs, Securefs, Cryfs, Encfs)}


def build_floor(tools):
    """Compile libfuse's passthrough_ll from the examples of libfuse3-dev."""
    examples = Path("/usr/share/doc/libfuse3-dev/examples")
    source = examples / "passthrough_ll.c"
    if not source.exists():
        return False
    flags = run("pkg-config", "--cflags", "--libs", "fuse3").split()
    config = tools / "config.h"
    config.write_text("#define HAVE_UTIMENSAT 1\n#define HAVE_POSIX_FALLOCATE 1\n")
    # Without splice, as the bar says: the example asks for it where the kernel offers it.
    text, count = re.subn(r"(static void lo_init\(.*?\n\{\n)", r"\1\tconn->want &= ~(FUSE_CAP_SPLICE_READ | "
                          "FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);\n\tconn->max_write = 1048576;\n",
                          source.read_text(), count=1, flags=re.S)
    if not count:
        return False
    (tools / "passthrough_ll.c").write_text(text)
    shutil.copy(examples / "passthrough_helpers.h", tools)
    run("gcc", "-O2", "-D_GNU_SOURCE", f"-I{tools}", tools / "passthrough_ll.c", "-o", tools / "passthrough_ll", *flags)
    return True
