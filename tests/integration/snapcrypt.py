# SPDX-License-Identifier: Apache-2.0
"""Driving the program: a sandbox, its volumes and their mounts.

    volume = sandbox.init("--block-size", "4096")
    with volume.mount("ro") as mount:
        (mount.path / "2026-11-24").mkdir()

What a daemon logs as an error or warning fails the test unless sandbox.allow(REGEX) expects it;
so does every report of a sanitizer, from any process.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

TIMEOUT_S = 60
MOUNT_TYPE = "fuse.snapcrypt"
COMPLAINT = re.compile(r"\b(error|warning)\b", re.I)
SANITIZER_EXIT = 99


class MountRefused(AssertionError):
    """The mount command ended before it served."""

    def __init__(self, code, output):
        super().__init__(f"mount ended with {code}: {output}")
        self.code = code
        self.output = output


def mount_table():
    """Mount id -> (mount point, type), in the order of mounting."""
    table = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        table[int(fields[0])] = (point, fields[fields.index("-") + 1])
    return table


def wait_for(condition, what, timeout_s=TIMEOUT_S):
    """Poll until condition() is true; its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.01)
    return value


class Sandbox:
    """Everything one test has: directories, environment, volumes, mounts."""

    def __init__(self, binary):
        # Short: the path of a socket in the runtime directory has at most 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="s", dir=os.environ.get("SNAPCRYPT_TEST_DIR", "/tmp")))
        self.binary = binary
        self.config, self.state, self.runtime = self.root / "c.conf", self.root / "state", self.root / "r"
        self.reports = self.root / "reports"
        for directory in (self.state, self.runtime, self.reports, self.root / "home"):
            directory.mkdir(mode=0o700)
        self.configure("")
        self.mounts = []
        self.allowed = []
        self.count = 0
        settings = f"log_path={self.reports}/report:exitcode={SANITIZER_EXIT}"
        self.environment = {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.root / "home"),
            "SNAPCRYPT_CONFIG": str(self.config), "SNAPCRYPT_STATE_DIR": str(self.state),
            "SNAPCRYPT_RUNTIME_DIR": str(self.runtime),
            "ASAN_OPTIONS": f"{settings}:strict_string_checks=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": f"{settings}:print_stacktrace=1",
            "TSAN_OPTIONS": f"{settings}:second_deadlock_stack=1",
        }

    def configure(self, text):
        """Replace the configuration file."""
        self.config.write_text(text)
        self.config.chmod(0o600)

    def allow(self, pattern):
        """Expect log lines of daemons that match."""
        self.allowed.append(re.compile(pattern))

    def directory(self, prefix):
        self.count += 1
        path = self.root / f"{prefix}{self.count}"
        path.mkdir()
        return path

    def run(self, *arguments, code=0, env=None, **options):
        """Run a command, check its exit code (None: any) and return the finished process (text)."""
        done = subprocess.run([self.binary, *map(str, arguments)], env={**self.environment, **(env or {})},
                              text=True, errors="surrogateescape", stdin=options.pop("stdin", subprocess.DEVNULL)
                              if "input" not in options else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT_S * 2, **options)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{' '.join(map(str, arguments))}: exit {done.returncode}, not {code}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def json(self, *arguments, **options):
        """Run a command with --json and return its object."""
        return json.loads(self.run(*arguments, "--json", **options).stdout)

    def init(self, *arguments, backing=None):
        """A new volume; without arguments under the embedded keyring."""
        backing = Path(backing or self.directory("backing"))
        self.run("init", backing, *arguments)
        return Volume(self, backing)

    def open(self, backing):
        """A volume that is there already, a copy for instance."""
        return Volume(self, Path(backing))

    def log_complaints(self):
        for mount in self.mounts:
            for line in mount.log().splitlines():
                if COMPLAINT.search(line) and not any(pattern.search(line) for pattern in self.allowed):
                    yield f"unexpected in the log of {mount.path}: {line}"

    def close(self):
        """End all mounts, remove everything; what went wrong, as texts."""
        problems = []
        for mount in reversed(self.mounts):
            if mount.is_running():
                try:
                    mount.umount()
                except (AssertionError, subprocess.TimeoutExpired) as problem:
                    problems.append(f"{mount.path}: {problem}")
                    mount.kill()
        for point, _ in reversed(list(mount_table().values())):
            if Path(point).is_relative_to(self.root):
                subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        problems += self.log_complaints()
        problems += [report.read_text(errors="replace")
                     for report in sorted(self.reports.iterdir())]
        for mount in self.mounts:
            print(f"--- log of {mount.path}\n{mount.log()}")
        shutil.rmtree(self.root, ignore_errors=True)
        return problems


class Volume:
    """A backing directory that init prepared."""

    def __init__(self, sandbox, backing):
        self.sandbox = sandbox
        self.backing = backing
        self.control = backing / ".snapcrypt"

    def run(self, command, *arguments, **options):
        """A command on this volume: run("snapshot list"), run("status", "-v")."""
        return self.sandbox.run(*command.split(), self.backing, *arguments, **options)

    def json(self, command, *arguments, **options):
        return self.sandbox.json(*command.split(), self.backing, *arguments, **options)

    def mount(self, *options, at=None, arguments=(), daemon=False, env=None):
        """Mount with -o OPTIONS and return when it serves.  MountRefused if it ends before."""
        return Mount(self, at or self.sandbox.directory("mnt"), options, arguments, daemon, env)

    def mount_refused(self, code, *options, **more):
        """Mounting must end with this exit code; what it said."""
        with pytest.raises(MountRefused) as refusal:
            self.mount(*options, **more)
        assert refusal.value.code == code, refusal.value
        return refusal.value.output

    def files(self, below=""):
        """Backing files of users, without the control directory and identities."""
        return sorted(Path(directory) / name
                      for directory, _, names in os.walk(self.backing / below) for name in names
                      if self.control not in (Path(directory), *Path(directory).parents)
                      and not name.startswith(".snapcrypt")
                      and not (Path(directory) / name).is_symlink()
                      and (Path(directory) / name).is_file())

    @contextlib.contextmanager
    def new_files(self):
        """A list that is filled with the backing files which the block made."""
        before, made = set(self.files()), []
        yield made
        made += sorted(set(self.files()) - before)


class Mount:
    """A mount that serves; in the foreground as our child, or as a daemon."""

    def __init__(self, volume, path, options, arguments, daemon, env):
        if not os.path.exists("/dev/fuse"):
            pytest.skip("no /dev/fuse")
        self.volume, self.path, self.process = volume, Path(path), None
        self.sandbox = volume.sandbox
        self.log_path = self.sandbox.root / f"log{len(self.sandbox.mounts)}"
        command = [self.sandbox.binary, "mount", volume.backing, path, *arguments]
        command += ["-o", ",".join(options)] if options else []
        # A dead mount is replaced, and the kernel may give its number to the new one.
        before = set() if self._is_dead() else self._mounts_here()
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([*command, *([] if daemon else ["-f"])], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env={**self.sandbox.environment, **(env or {})})
        try:
            self.id = wait_for(lambda: self._ready(before, daemon), f"{path} serves")
        except MountRefused:
            raise
        except AssertionError as problem:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{problem}\n{self.log()}") from None
        self.sandbox.mounts.append(self)

    def _ready(self, before, daemon):
        # A daemon serves when its command has ended well; in the foreground when the mount answers.
        code = self.process.poll()
        if code is not None and (code != 0 or not daemon):
            raise MountRefused(code, self.log())
        if daemon and code is None:
            return None
        new = self._mounts_here() - before
        if new and not self._is_dead():
            os.statvfs(self.path)
            return max(new)
        assert code is None, f"the mount command ended, {self.path} is not mounted"
        return None

    def _mounts_here(self):
        # The kernel gives the number of a mount that is gone to another: only with its place it is ours.
        return {number for number, entry in mount_table().items() if entry == (str(self.path), MOUNT_TYPE)}

    def _is_dead(self):
        try:
            os.stat(self.path)
        except OSError as error:
            return error.errno == errno.ENOTCONN
        return False

    def is_mounted(self):
        return self.id in self._mounts_here()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_running():
            self.umount()

    def pid(self):
        """The process that serves."""
        if self.process.poll() is None:
            return self.process.pid
        mounts = [mount for volume in self.sandbox.json("status", self.path)["volumes"]
                  for mount in volume["mounts"] if mount["mountpoint"] == str(self.path)]
        return mounts[0]["pid"]

    def is_running(self):
        return self.is_mounted() or self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def umount(self, *arguments, code=0):
        """Unmount as a user does; afterwards everything is on the backing filesystem."""
        self.sandbox.run("umount", self.path, *arguments, code=code)
        if code == 0:
            assert not self.is_mounted(), f"{self.path} is still mounted"
            ended = self.process.wait(TIMEOUT_S)
            assert ended == 0, f"the daemon of {self.path} ended with {ended}\n{self.log()}"

    def kill(self):
        """SIGKILL, and detach the dead mount."""
        with contextlib.suppress(ProcessLookupError, IndexError, KeyError, ValueError, AssertionError):
            os.kill(self.pid(), 9)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(TIMEOUT_S)
        if self.is_mounted():
            subprocess.run(["umount", "-l", self.path], check=False, capture_output=True)


# Tampering below the mount.  Each keeps what it does not name.

def flip(path, offset, mask=0x01):
    """Change bits of one byte; a negative offset counts from the end."""
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ mask]))


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def cut(path, size):
    os.truncate(path, size)


def extend(path, data):
    with open(path, "ab") as file:
        file.write(data)


def zero(path, offset, size):
    overwrite(path, offset, bytes(size))


def swap(path, offset, other, other_offset, size):
    """Exchange two ranges, in one file or between two."""
    ranges = []
    for file, start in ((path, offset), (other, other_offset)):
        with open(file, "rb") as stream:
            stream.seek(start)
            ranges.append(stream.read(size))
    overwrite(path, offset, ranges[1])
    overwrite(other, other_offset, ranges[0])
