# SPDX-License-Identifier: Apache-2.0
"""States that a power cut may leave in a directory, from what recorder.c wrote down.

    base = Tree.from_directory(backing)        # before the recorded process starts
    log = Log(path)                            # after it has ended
    for cut in log.cuts(): ...
        state = Replay(base, log).state(cut, random.Random(seed))
        state.write(directory)

The model of the filesystem below is as weak as POSIX allows, where real ones differ:

- Data of a write that no later fsync or fdatasync of the file covers may be lost, whole, or torn: any of its pieces of 512 or
  4096 bytes may be there, whatever happened to others before or after it.
- Changes of a file's size reach the disk in their order, independent of data; a file may have got longer without its data
  (zeros).  What was written behind a cut that did not reach the disk is not there either: it went to other blocks.
- Changes of a directory are durable when that directory was synced; those not covered may be lost from the end, for each
  directory on its own, a rename between two in both or none.  A sync of a file does not cover its name.
"""

import os
import stat
import struct
from dataclasses import dataclass, field

PAGE = 4096
HEADER = struct.Struct("<IHHHHIQQQQqqq")
WRITE, TRUNCATE, ALLOCATE, SYNC, CREATE, LINK, RENAME, UNLINK, SYNC_ALL, END = range(1, 11)
NAMESPACE = (CREATE, LINK, RENAME, UNLINK)
DATA = (WRITE, TRUNCATE, ALLOCATE)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


class Content:
    """Bytes of a file: pages that hold something, and a size.  Pages are never changed in place, so copies are cheap."""

    __slots__ = ("pages", "size")

    def __init__(self, pages=None, size=0):
        self.pages, self.size = pages if pages is not None else {}, size

    def copy(self):
        return Content(dict(self.pages), self.size)

    def put(self, offset, data):
        """Write without changing the size; what lies beyond it must not be given."""
        view, at = memoryview(data), 0
        while at < len(view):
            number, start = divmod(offset + at, PAGE)
            n = min(PAGE - start, len(view) - at)
            if n == PAGE:
                self.pages[number] = bytes(view[at:at + n])
            else:
                page = self.pages.get(number, bytes(PAGE))
                self.pages[number] = page[:start] + bytes(view[at:at + n]) + page[start + n:]
            at += n

    def zero(self, offset, size):
        end = offset + size
        while offset < end:
            number, start = divmod(offset, PAGE)
            n = min(PAGE - start, end - offset)
            if n == PAGE:
                self.pages.pop(number, None)
            elif number in self.pages:
                self.put(offset, bytes(n))
            offset += n

    def resize(self, size):
        if size < self.size:
            number, start = divmod(size, PAGE)
            for page in [p for p in self.pages if p > number or (p == number and start == 0)]:
                del self.pages[page]
            if start and number in self.pages:
                self.pages[number] = self.pages[number][:start] + bytes(PAGE - start)
        self.size = size

    def read(self):
        data = bytearray(self.size)
        for number, page in self.pages.items():
            data[number * PAGE:number * PAGE + len(page)] = page
        return bytes(data[:self.size])

    def write_to(self, fd):
        os.ftruncate(fd, self.size)
        for number, page in sorted(self.pages.items()):
            os.pwrite(fd, page[:max(0, self.size - number * PAGE)], number * PAGE)


@dataclass
class Node:
    mode: int
    content: Content = None
    target: bytes = b""


@dataclass
class Tree:
    """A directory tree: nodes by id, and names of directories."""

    nodes: dict = field(default_factory=dict)
    names: dict = field(default_factory=dict)      # directory id -> {name: id}
    root: int = 0
    inodes: dict = field(default_factory=dict)     # inode number -> id, of what there is in the beginning

    @classmethod
    def from_directory(cls, path):
        tree = cls()
        tree.root = tree._add(os.fsencode(path))
        return tree

    def _add(self, path):
        status = os.lstat(path)
        if status.st_ino in self.inodes:
            return self.inodes[status.st_ino]
        node_id = status.st_ino
        self.inodes[status.st_ino] = node_id
        node = self.nodes[node_id] = Node(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            self.names[node_id] = {name: self._add(os.path.join(path, name)) for name in os.listdir(path)}
        elif stat.S_ISLNK(status.st_mode):
            node.target = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            node.content = Content(size=status.st_size)
            with open(path, "rb") as file:
                for number in range((status.st_size + PAGE - 1) // PAGE):
                    page = file.read(PAGE)
                    if any(page):
                        node.content.pages[number] = page.ljust(PAGE, b"\0")
        return node_id

    def write(self, path):
        """Make the tree at PATH, an empty directory."""
        self._write(self.root, os.fsencode(path), {})

    def _write(self, directory, path, seen):
        for name, node_id in self.names[directory].items():
            node, place = self.nodes[node_id], os.path.join(path, name)
            kind = stat.S_IFMT(node.mode)
            if kind == stat.S_IFDIR:
                os.mkdir(place, 0o700)
                self._write(node_id, place, seen)
            elif kind == stat.S_IFLNK:
                os.symlink(node.target, place)
            elif node_id in seen:
                os.link(seen[node_id], place)
            elif kind == stat.S_IFREG:
                fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IMODE(node.mode) or 0o600)
                node.content.write_to(fd)
                os.close(fd)
                seen[node_id] = place
            else:
                os.mknod(place, node.mode)
            seen.setdefault(node_id, place)


@dataclass
class Operation:
    kind: int
    begin: int              # index of the event
    time: int
    node: int = 0           # the file or directory it acts on, as an id of the model
    other: int = 0
    name: bytes = b""
    other_name: bytes = b""
    numbers: tuple = ()
    data: bytes = b""
    end: int = None         # index of the event; None: the process ended before
    made: int = 0           # id of the node that it made or linked
    is_durable: bool = False


class Log:
    """The recorded operations, in the order of their beginnings, with inode numbers turned into ids."""

    def __init__(self, path, base):
        with open(path, "rb") as file:
            used = int.from_bytes(file.read(8), "little")
            file.seek(0)
            raw = file.read(16 + used)
        self.times, events, offset = [], [], 16
        while offset < 16 + used:
            head = HEADER.unpack_from(raw, offset)
            if head[0] == 0:
                break
            events.append((offset, head))
            offset += head[0]
        events.sort(key=lambda event: event[1][7])
        self.times = [head[7] for _, head in events]
        self._resolve(raw, events, base)

    def _resolve(self, raw, events, base):
        self.operations, open_operations, inodes = [], {}, dict(base.inodes)
        self.syncs = []
        next_id = 1 << 40
        for index, (offset, head) in enumerate(events):
            _, kind, name_size, other_size, _, data_size, number, time, inode, other, *numbers = head
            if kind == END:
                operation = open_operations.pop(number, None)
                if operation is None:
                    continue
                if numbers[0] < 0:
                    operation.kind = 0
                    continue
                operation.end = index
                if operation.kind == WRITE:
                    operation.data = operation.data[:numbers[0]]
                elif operation.kind == CREATE:
                    next_id += 1
                    operation.made = inodes[inode] = next_id
                elif operation.kind == LINK:
                    operation.made = inodes.get(inode, 0)
                continue
            if inode not in inodes and kind != SYNC_ALL:
                continue        # not below the directory
            if kind == RENAME and other not in inodes:
                raise ValueError("a rename out of the recorded directory")
            at = offset + HEADER.size
            name = raw[at:at + name_size]
            other_name = raw[at + name_size:at + name_size + other_size]
            at += name_size + other_size
            operation = Operation(kind, index, time, inodes.get(inode, 0), inodes.get(other, 0), name, other_name,
                                  tuple(numbers), raw[at:at + data_size])
            open_operations[number] = operation
            self.operations.append(operation)
        # What never got a node (cut before its end) cannot be followed any further.
        self.operations = [o for o in self.operations if o.kind and not (o.kind in (CREATE, LINK) and not o.made)]
        self.syncs = [o for o in self.operations if o.kind in (SYNC, SYNC_ALL) and o.end is not None]

    def cuts(self):
        """Every moment between two events, as the number of events before it."""
        return range(len(self.times) + 1)

    def time_after(self, cut):
        """When the next event comes: what was acknowledged before must be there."""
        return self.times[cut] if cut < len(self.times) else 1 << 63

    def interesting_cuts(self):
        """Cuts after which something differs: those behind beginnings of changes and ends of syncs."""
        cuts = {0, len(self.times)}
        for operation in self.operations:
            if operation.kind in DATA + NAMESPACE:
                cuts.add(operation.begin + 1)
            elif operation.end is not None:
                cuts.add(operation.end + 1)
        return sorted(cuts)


class Replay:
    """Builds states.  Cuts must be asked for in rising order: what is durable is kept between them."""

    def __init__(self, base, log):
        self.base, self.log = base, log
        self.cut = 0
        self.contents = {i: n.content.copy() for i, n in base.nodes.items() if n.content is not None}
        self.pending = {}       # node -> data operations begun and not known to be durable, in order
        self.namespace = []     # namespace operations begun
        self.next = 0
        self.synced = {}        # node -> begin of the latest sync that ended
        self.synced_all = -1
        self.ends = sorted(log.syncs, key=lambda o: o.end)
        self.end_keys = [o.end for o in self.ends]
        self.next_end = 0

    def advance(self, cut):
        assert cut >= self.cut
        self.cut = cut
        operations = self.log.operations
        while self.next < len(operations) and operations[self.next].begin < cut:
            operation = operations[self.next]
            if operation.kind in DATA:
                self.pending.setdefault(operation.node, []).append(operation)
            elif operation.kind in NAMESPACE:
                self.namespace.append(operation)
                if operation.kind == CREATE and stat.S_ISREG(operation.numbers[0]):
                    self.contents[operation.made] = Content()
            self.next += 1
        touched = set()
        while self.next_end < len(self.ends) and self.end_keys[self.next_end] < cut:
            sync = self.ends[self.next_end]
            if sync.kind == SYNC_ALL:
                self.synced_all = max(self.synced_all, sync.begin)
                touched.update(self.pending)
            else:
                self.synced[sync.node] = max(self.synced.get(sync.node, -1), sync.begin)
                touched.add(sync.node)
            self.next_end += 1
        for node in touched:
            pending = self.pending.get(node, [])
            for operation in pending:
                operation.is_durable = operation.is_durable or self.is_durable(operation, node)
            while pending and pending[0].is_durable:
                apply_whole(self.contents.setdefault(node, Content()), pending.pop(0))

    def is_durable(self, operation, node):
        sync = max(self.synced.get(node, -1), self.synced_all)
        return operation.end is not None and operation.end < sync

    def state(self, cut, rng, how=None):
        """A tree that a power cut at CUT may leave.  HOW: 'lost', 'all', 'prefix', 'random'; None: drawn."""
        self.advance(cut)
        how = how or rng.choice(("lost", "all", "prefix", "random", "random", "random"))
        tree = Tree(root=self.base.root)
        self._names(tree, rng, how)
        for node, content in self.contents.items():
            if node in tree.nodes:
                pending = self.pending.get(node)
                tree.nodes[node].content = choose(content.copy(), pending, rng, how) if pending else content
        return tree

    def _names(self, tree, rng, how):
        names = {directory: dict(entries) for directory, entries in self.base.names.items()}
        nodes = {i: Node(n.mode, n.content, n.target) for i, n in self.base.nodes.items()}
        must = self._must()
        mode = {"lost": "lost", "all": "all"}.get(how) or rng.choice(("lost", "all", "prefix", "each", "each"))
        limit = rng.randrange(len(self.namespace) + 1)
        blocked = set()
        for index, operation in enumerate(self.namespace):
            directories = {operation.node, operation.other or operation.node}
            wanted = mode == "all" or (mode == "prefix" and index < limit) or (mode == "each" and rng.random() < 0.7)
            if index in must or (wanted and not directories & blocked and operation.end is not None):
                apply_name(names, nodes, operation)
            else:
                blocked |= directories
                if mode == "prefix":        # one journal for all directories: nothing later either
                    mode = "lost"
        tree.names, tree.nodes = names, nodes

    def _must(self):
        """Indices of namespace operations that are durable, with all before them in the same directories."""
        must, directories = set(), set()
        for index in range(len(self.namespace) - 1, -1, -1):
            operation = self.namespace[index]
            own = {operation.node, operation.other or operation.node}
            if own & directories or any(self.is_durable(operation, node) for node in own):
                must.add(index)
                directories |= own
        return must


def apply_name(names, nodes, operation):
    entries = names.setdefault(operation.node, {})
    if operation.kind == CREATE:
        nodes[operation.made] = Node(operation.numbers[0], None, operation.data)
        if stat.S_ISDIR(operation.numbers[0]):
            names.setdefault(operation.made, {})
        elif stat.S_ISREG(operation.numbers[0]):
            nodes[operation.made].content = Content()
        entries[operation.name] = operation.made
    elif operation.kind == LINK:
        entries[operation.name] = operation.made
    elif operation.kind == RENAME:
        node = entries.pop(operation.name, None)
        if node is not None:
            names.setdefault(operation.other, {})[operation.other_name] = node
    else:
        entries.pop(operation.name, None)


def apply_whole(content, operation):
    if operation.kind == WRITE:
        offset = operation.numbers[0]
        content.size = max(content.size, offset + len(operation.data))
        content.put(offset, operation.data)
    elif operation.kind == TRUNCATE:
        content.resize(operation.numbers[0])
    else:
        apply_allocate(content, operation)


def apply_allocate(content, operation):
    mode, offset, size = operation.numbers
    if mode & (PUNCH_HOLE | ZERO_RANGE):
        content.zero(offset, min(size, max(0, content.size - offset)))
    if not mode & KEEP_SIZE:
        content.size = max(content.size, offset + size)


def new_size(size, operation):
    """Size after an operation, if it changes it; else None."""
    if operation.kind == TRUNCATE:
        return operation.numbers[0] if operation.numbers[0] != size else None
    if operation.kind == WRITE:
        end = operation.numbers[0] + len(operation.data)
    elif operation.numbers[0] & KEEP_SIZE:
        return None
    else:
        end = operation.numbers[1] + operation.numbers[2]
    return end if end > size else None


def choose(content, pending, rng, how):
    """CONTENT with some of the pending operations, and all that are durable."""
    if how == "all":
        for operation in pending:
            apply_whole(content, operation)
        return content
    whole = {"lost": 0}.get(how, rng.randrange(len(pending) + 1))
    if how == "random":
        return choose_each(content, pending, rng)
    for operation in pending[:whole]:
        apply_whole(content, operation)
    torn = [] if how == "lost" else pending[whole:whole + 1]
    return choose_each(content, torn + [o for o in pending[whole + len(torn):] if o.is_durable], rng)


def choose_each(content, pending, rng):
    """Each write lost, whole or torn; changes of the size up to a point."""
    logical = content.size
    changes = 0
    for operation in pending:
        size = new_size(logical, operation)
        if size is not None:
            logical = size
            changes += 1
    kept = rng.choice((0, changes, rng.randrange(changes + 1)))
    logical, reachable = content.size, 1 << 63
    chance = rng.choice((0.1, 0.5, 0.9))
    for operation in pending:
        size = new_size(logical, operation)
        if operation.is_durable:
            apply_whole(content, operation)
            logical = size if size is not None else logical
            continue
        if size is not None:
            logical = size
            kept -= 1
        is_size_lost = size is not None and kept < 0
        if operation.kind == TRUNCATE:
            if not is_size_lost:
                content.resize(operation.numbers[0])
            elif operation.numbers[0] < content.size:
                reachable = min(reachable, -(-operation.numbers[0] // PAGE) * PAGE)
            continue
        if size is not None and not is_size_lost:
            content.size = max(content.size, size)
        if operation.kind == ALLOCATE:
            if operation.numbers[0] & (PUNCH_HOLE | ZERO_RANGE) and rng.random() < chance:
                content.zero(operation.numbers[1],
                             min(operation.numbers[2], max(0, content.size - operation.numbers[1])))
            continue
        put_torn(content, operation, min(reachable, content.size), rng, chance)
    return content


def put_torn(content, operation, limit, rng, chance):
    offset, data = operation.numbers[0], operation.data
    end = min(offset + len(data), limit)
    fate = rng.random()
    if fate < 0.25 * (1 - chance):
        return
    if fate < 0.5:
        if end > offset:
            content.put(offset, data[:end - offset])
        return
    sector = rng.choice((512, 4096))
    at = offset
    while at < end:
        stop = min(end, (at // sector + 1) * sector)
        if rng.random() < chance:
            content.put(at, data[at - offset:stop - offset])
        at = stop
