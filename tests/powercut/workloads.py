# SPDX-License-Identifier: Apache-2.0
"""What programs do whose bytes must survive: one function each, over files that are there already.

    PREPARED        name -> bytes, made and synced before anything is recorded
    WORKLOADS       name -> function(work, rng, rounds)
"""

import random

KIB = 1024
PAGE = 8 * KIB


def filling(seed, size):
    return random.Random(seed).randbytes(size)


PREPARED = {
    "empty": b"",
    "log": filling(1, 10 * KIB + 77),
    "database": filling(2, 40 * PAGE),
    "table": filling(3, 64 * KIB),          # ends at a block boundary, whatever the block size
    "document": filling(4, 30000),
}


def append(work, rng, rounds):
    """Append and fsync, in small pieces and large, to old files and a new one."""
    work.create("new-log")
    sizes = {"log": len(PREPARED["log"]), "table": len(PREPARED["table"]), "empty": 0, "new-log": 0}
    for _ in range(rounds):
        name = rng.choice(list(sizes))
        for _ in range(rng.choice((1, 1, 3))):
            data = rng.randbytes(rng.choice((1, 100, 100, 4 * KIB, 4 * KIB - 1, 20000, 64 * KIB)))
            work.write(name, sizes[name], data)
            sizes[name] += len(data)
        if rng.random() < 0.8:
            work.sync(name, rng.random() < 0.5)
        if rng.random() < 0.1:
            work.close(name)


def pages(work, rng, rounds):
    """A database: pages of 8 KiB in place, some behind the end, fsync now and then, checkpoint at the end."""
    count = len(PREPARED["database"]) // PAGE
    for turn in range(rounds):
        for _ in range(rng.randrange(1, 5)):
            page = rng.randrange(count + 1)
            count = max(count, page + 1)
            work.write("database", page * PAGE, rng.randbytes(PAGE))
        if rng.random() < 0.6:
            work.sync("database", rng.random() < 0.7)
        if turn == rounds // 2:
            work.close("database")
    work.sync("database")


def replace(work, rng, rounds):
    """Write a new file, fsync it, rename it over the old one, fsync the directory."""
    for turn in range(rounds):
        new = rng.choice(("document.new", "n" * 200 + str(turn % 2)))
        work.create(new)
        work.write(new, 0, rng.randbytes(rng.choice((0, 1, 3000, 30000))))
        work.sync(new)
        if rng.random() < 0.5:
            work.close(new)
        work.rename(new, "document")
        work.sync_names()


def preallocate(work, rng, rounds):
    """Allocate, then overwrite in order, as archivers of logs do."""
    for turn in range(max(1, rounds // 8)):
        name = f"segment{turn}"
        size = rng.choice((64 * KIB, 100000))
        work.create(name)
        if rng.random() < 0.5:
            work.allocate(name, size)
        else:
            work.truncate(name, size)
        work.sync(name)
        at = 0
        for _ in range(8):
            data = rng.randbytes(rng.choice((PAGE, 5000, 20000)))[:size - at]
            work.write(name, at, data)
            at += len(data)
            if rng.random() < 0.7:
                work.sync(name, True)
        work.close(name)


def truncate(work, rng, rounds):
    """Cut and grow, at block boundaries and inside, to zero and beyond the end."""
    for _ in range(rounds):
        name = rng.choice(("log", "table", "document"))
        size = rng.choice((0, 1, 4 * KIB, 4 * KIB - 1, 10000, 16 * KIB, 64 * KIB, 70000, 150000))
        work.truncate(name, size)
        if rng.random() < 0.6:
            work.sync(name)
        if rng.random() < 0.4:
            work.write(name, rng.randrange(size + 5000), rng.randbytes(rng.choice((1, 500, 9000))))
            if rng.random() < 0.6:
                work.sync(name, True)
        if rng.random() < 0.1:
            work.close(name)


def mix(work, rng, rounds):
    """All of it."""
    sizes = {name: len(data) for name, data in PREPARED.items()}
    for turn in range(rounds):
        name = rng.choice(list(sizes))
        action = rng.random()
        if action < 0.45:
            offset = rng.choice((sizes[name], rng.randrange(sizes[name] + 1), rng.randrange(sizes[name] + 9000)))
            data = rng.randbytes(rng.choice((1, 700, 4 * KIB, PAGE, 30000)))
            work.write(name, offset, data)
            sizes[name] = max(sizes[name], offset + len(data))
        elif action < 0.6:
            sizes[name] = rng.choice((0, rng.randrange(sizes[name] + 1), sizes[name] + rng.randrange(20000)))
            work.truncate(name, sizes[name])
        elif action < 0.85:
            work.sync(name, rng.random() < 0.5)
        elif action < 0.9:
            work.close(name)
        elif action < 0.95:
            new = f"renamed{turn % 3}"
            work.rename(name, new)
            sizes[new] = sizes.pop(name)
        elif action < 0.97:
            work.sync_names()
        else:
            new = f"made{turn % 3}"
            if new not in sizes:
                work.create(new)
                sizes[new] = 0


WORKLOADS = {"append": append, "pages": pages, "replace": replace, "preallocate": preallocate, "truncate": truncate,
             "mix": mix}
