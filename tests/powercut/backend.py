# SPDX-License-Identifier: Apache-2.0
"""Where a workload's calls go: to a directory, or to the file engine alone."""

import os
import subprocess

from oracle import Seen, Violation


class Directory:
    """A directory of a mounted volume, or any other."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.fds = {}

    def _place(self, name):
        return os.path.join(self.path, name)

    def _fd(self, name):
        if name not in self.fds:
            self.fds[name] = os.open(self._place(name), os.O_RDWR)
        return self.fds[name]

    def create(self, name):
        self.fds[name] = os.open(self._place(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, name, offset, data):
        assert os.pwrite(self._fd(name), data, offset) == len(data)

    def truncate(self, name, size):
        os.ftruncate(self._fd(name), size)

    def allocate(self, name, size):
        os.posix_fallocate(self._fd(name), 0, size)

    def sync(self, name, is_data_only):
        (os.fdatasync if is_data_only else os.fsync)(self._fd(name))

    def close(self, name):
        if name in self.fds:
            os.close(self.fds.pop(name))

    def rename(self, old, new):
        self.close(new)
        os.rename(self._place(old), self._place(new))
        if old in self.fds:
            self.fds[new] = self.fds.pop(old)

    def link(self, old, new):
        os.link(self._place(old), self._place(new))

    def unlink(self, name):
        self.close(name)
        os.unlink(self._place(name))

    def sync_names(self):
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)

    def finish(self):
        for name in list(self.fds):
            self.close(name)

    def look(self, block_size):
        """Seen of every file."""
        result = {}
        for name in os.listdir(self.path):
            seen = result[name] = Seen()
            try:
                fd = os.open(self._place(name), os.O_RDONLY)
            except OSError as problem:
                seen.open_error = problem.errno
                continue
            try:
                seen.data = _read(fd, os.fstat(fd).st_size, block_size, seen.errors)
            finally:
                os.close(fd)
        return result


def _read(fd, size, block_size, errors):
    """All of a file, its ranges that cannot be read noted in ERRORS."""
    data = bytearray(size)
    try:
        if os.preadv(fd, [data], 0) == size:
            return bytes(data)
    except OSError:
        pass
    for start in range(0, size, block_size):
        end = min(start + block_size, size)
        try:
            piece = os.pread(fd, end - start, start)
        except OSError:
            errors.append((start, end))
            continue
        if len(piece) != end - start:
            raise Violation(f"short read at {start}")
        data[start:end] = piece
    return bytes(data)


class Engine:
    """engine_driver on a directory: see engine_driver.c."""

    def __init__(self, program, root, access, block_size, environment=None):
        self.root = os.fspath(root)
        self.process = subprocess.Popen([program, self.root, access, str(block_size)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(environment or {})})
        self.opened = set()
        self._answer("start")

    def _answer(self, command):
        answer = self.process.stdout.readline().split()
        if not answer:
            self.process.wait()
            raise AssertionError(f"engine_driver ended at {command}: {self.process.stderr.read().decode()}")
        if int(answer[0]) < 0:
            raise OSError(-int(answer[0]), os.strerror(-int(answer[0])), command)
        return answer

    def _call(self, *words, data=b""):
        command = " ".join(map(str, words))
        self.process.stdin.write(command.encode() + b"\n" + data)
        self.process.stdin.flush()
        return self._answer(command)

    def _open(self, name):
        if name not in self.opened:
            self._call("open", name)
            self.opened.add(name)

    def create(self, name):
        self._call("create", name)
        self.opened.add(name)

    def write(self, name, offset, data):
        self._open(name)
        self._call("write", name, offset, len(data), data=data)

    def truncate(self, name, size):
        self._open(name)
        self._call("truncate", name, size)

    def allocate(self, name, size):
        self._open(name)
        self._call("allocate", name, 0, 0, size)

    def sync(self, name, is_data_only):
        self._open(name)
        self._call("sync", name, int(is_data_only))

    def close(self, name):
        if name in self.opened:
            self._call("close", name)
            self.opened.remove(name)

    def rename(self, old, new):
        self._call("rename", old, new)
        self.opened.discard(new)
        if old in self.opened:
            self.opened.remove(old)
            self.opened.add(new)

    def link(self, old, new):
        self._call("link", old, new)

    def unlink(self, name):
        self.close(name)
        self._call("unlink", name)

    def sync_names(self):
        self._call("syncdir", "files")

    def finish(self):
        """End it; what it reported."""
        self.process.stdin.write(b"quit\n")
        self.process.stdin.close()
        self.process.stdout.read()
        reports = self.process.stderr.read().decode()
        if self.process.wait() != 0:
            raise AssertionError(f"engine_driver: exit {self.process.returncode}: {reports}")
        return reports

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def look(self, _block_size):
        result = {}
        for name in os.listdir(os.path.join(self.root, "files")):
            seen = result[name] = Seen()
            try:
                _, size, count = map(int, self._call("read", name))
            except OSError as problem:
                seen.open_error = problem.errno
                continue
            seen.errors = [tuple(map(int, self.process.stdout.readline().split())) for _ in range(count)]
            seen.data = self.process.stdout.read(size)
        return result
