# SPDX-License-Identifier: Apache-2.0
"""What must be true of files after a power cut, given what was done to them and what was acknowledged.

A workload calls the methods of Work, which notes when each call began and returned.  Work.check()
then judges what a later mount shows:

- Every byte that an fsync acknowledged is there, unless a later call changed it: then it is the old or the new one, and it
  can be read.
- No byte is one that was never at its place.  Beyond what was synced, zeros and read errors are accepted.
- A file of which no synced byte must be there may fail to open: torn, and said to be.
- A name that was synced is there; names are those after some number of the later calls.
"""

import errno
import time
from dataclasses import dataclass, field

FOREVER = 1 << 63


class Violation(AssertionError):
    pass


@dataclass
class Step:
    kind: str
    began: int
    arguments: tuple
    returned: int = FOREVER


@dataclass
class Body:
    """One file, whatever its names are."""

    steps: list = field(default_factory=list)


@dataclass
class Seen:
    """A file as a mount shows it.  ERRORS: ranges that cannot be read; OPEN_ERROR: it cannot be opened."""

    data: bytes = b""
    errors: list = field(default_factory=list)
    open_error: int = 0


class Work:
    """Makes calls in one directory (backend.py says how) and remembers them."""

    def __init__(self, backend, block_size):
        self.backend, self.block_size = backend, block_size
        self.bodies = []
        self.names = [Step("start", 0, ({},), 0)]   # every change of the names, with the names after it
        self.current = {}
        self.name_syncs = []

    # ---- calls ------------------------------------------------------------------------------------

    @staticmethod
    def _run(steps, kind, arguments, call):
        step = Step(kind, time.monotonic_ns(), arguments)
        steps.append(step)
        call()
        step.returned = time.monotonic_ns()

    def _names_step(self, names, call):
        self._run(self.names, "names", (names,), call)
        self.current = dict(names)

    def _steps(self, name):
        return self.bodies[self.current[name]].steps

    def adopt(self, name, data):
        """A file that is there and durable from the beginning."""
        self.current[name] = self.names[0].arguments[0][name] = len(self.bodies)
        self.bodies.append(Body([Step("adopt", 0, (data,), 0), Step("sync", 0, (), 0)]))

    def create(self, name):
        body = len(self.bodies)
        self.bodies.append(Body())
        self._names_step({**self.current, name: body}, lambda: self.backend.create(name))

    def write(self, name, offset, data):
        self._run(self._steps(name), "write", (offset, data), lambda: self.backend.write(name, offset, data))

    def truncate(self, name, size):
        self._run(self._steps(name), "truncate", (size,), lambda: self.backend.truncate(name, size))

    def allocate(self, name, size):
        """posix_fallocate() from the beginning."""
        self._run(self._steps(name), "grow", (size,), lambda: self.backend.allocate(name, size))

    def sync(self, name, is_data_only=False):
        self._run(self._steps(name), "sync", (), lambda: self.backend.sync(name, is_data_only))

    def close(self, name):
        self.backend.close(name)

    def rename(self, old, new):
        names = {name: body for name, body in self.current.items() if name not in (old, new)}
        names[new] = self.current[old]
        self._names_step(names, lambda: self.backend.rename(old, new))

    def link(self, old, new):
        self._names_step({**self.current, new: self.current[old]}, lambda: self.backend.link(old, new))

    def unlink(self, name):
        names = {n: b for n, b in self.current.items() if n != name}
        self._names_step(names, lambda: self.backend.unlink(name))

    def sync_names(self):
        self._run(self.name_syncs, "sync", (len(self.names),), self.backend.sync_names)

    # ---- judging ----------------------------------------------------------------------------------

    def check(self, before, seen):
        """SEEN: name -> Seen.  BEFORE: when the power was cut, at the latest.  Violation if something is wrong."""
        first, last = self._allowed_names(before)
        problems = []
        for index in range(last, first - 1, -1):
            names = self.names[index].arguments[0]
            if set(names) != set(seen):
                problems.append(f"names are {sorted(seen)}, not {sorted(names)}")
                continue
            try:
                for name, body in names.items():
                    self._check_body(name, body, before, seen[name])
                return
            except Violation as problem:
                problems.append(str(problem))
        raise Violation("; or ".join(dict.fromkeys(problems)))

    def _allowed_names(self, before):
        """First and last index into self.names that may be seen."""
        first = 0
        for sync in self.name_syncs:
            if sync.returned < before:
                first = max(first, sync.arguments[0] - 1)
        # fsync of a new file makes its name durable too, and with it what came before in the directory.
        for number, body in enumerate(self.bodies):
            if any(step.kind == "sync" and step.returned < before for step in body.steps):
                made = next(i for i, step in enumerate(self.names) if number in step.arguments[0].values())
                first = max(first, made)
        last = max(i for i, step in enumerate(self.names) if step.began < before)
        return first, max(first, last)

    def _versions(self, body, before):
        """Contents of a file since its last acknowledged sync, the synced one first.  None first: never synced."""
        steps = [step for step in self.bodies[body].steps if step.began < before]
        synced = max((i for i, step in enumerate(steps) if step.kind == "sync" and step.returned < before), default=-1)
        data, versions = bytearray(), []
        for index, step in enumerate(steps):
            if step.kind == "sync":
                pass
            elif step.kind == "adopt":
                data = bytearray(step.arguments[0])
            elif step.kind == "write":
                offset, written = step.arguments
                data.extend(bytes(max(0, offset - len(data))))
                data[offset:offset + len(written)] = written
            elif step.kind == "truncate":
                size = step.arguments[0]
                del data[size:]
                data.extend(bytes(size - len(data)))
            elif step.kind == "grow":
                data.extend(bytes(max(0, step.arguments[0] - len(data))))
            if index == synced:
                versions = [bytes(data)]
            elif step.kind != "sync":
                versions.append(bytes(data))
        return versions or [b""], synced >= 0

    def _check_body(self, name, body, before, seen):
        versions, is_synced = self._versions(body, before)
        if seen.open_error:
            if is_synced and min(map(len, versions)) > 0:
                raise Violation(f"{name}: synced, but opening it gives {errno.errorcode[seen.open_error]}")
            return
        if not is_synced:
            versions = [b"", *versions]
        kept = min(map(len, versions))
        longest = max(map(len, versions))
        if not kept <= len(seen.data) <= longest:
            raise Violation(f"{name}: size {len(seen.data)}, not {kept} to {longest}")
        for start, end in seen.errors:
            if start < kept:
                raise Violation(f"{name}: synced bytes at {start} cannot be read (to {end}; {kept} must be there)")
        if seen.data in versions:
            return
        self._check_bytes(name, versions, seen)

    def _check_bytes(self, name, versions, seen):
        bad_blocks = {start // self.block_size for start, _ in seen.errors}
        synced = len(versions[0])
        for start in range(0, len(seen.data), 512):
            piece = seen.data[start:start + 512]
            if start // self.block_size in bad_blocks or any(v[start:start + len(piece)] == piece for v in versions):
                continue
            for at, value in enumerate(piece, start):
                if not any(at < len(v) and v[at] == value for v in versions) and not (value == 0 and at >= synced):
                    raise Violation(f"{name}: wrong byte at {at}")
