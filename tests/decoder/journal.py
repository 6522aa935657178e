# SPDX-License-Identifier: Apache-2.0
"""Section 10: the redo journal, and what its records make of a file."""
import dataclasses
import struct
import uuid

from .errors import Fault
from .text import crc32c

AREA_OFFSET = 16384
DATA_MAX = 8 << 20
WRITE, APPLIED = 1, 2
EXACT, HEADER, OPEN = 1, 2, 4


@dataclasses.dataclass
class JournalRecord:
    kind: int
    flags: int
    path: bytes
    data: bytes
    epoch: int
    sequence: int
    snapshot: uuid.UUID
    dek: uuid.UUID
    object_id: bytes
    content_id: bytes
    offset: int
    result: int
    mac_input: bytes
    mac: bytes
    journal: int = 0


@dataclasses.dataclass
class Superblock:
    volume: uuid.UUID
    mount: uuid.UUID
    number: int
    area_offset: int
    area_size: int


def parse_superblock(data):
    if len(data) < 512:
        raise Fault("short", "superblock")
    magic, version = struct.unpack_from("<8sH", data)
    if magic != b"SNPJRNL1":
        raise Fault("bad-magic")
    if version != 1:
        raise Fault("bad-version")
    number, start, size, crc = struct.unpack_from("<QQQI", data, 48)
    if crc != crc32c(data[:72]):
        raise Fault("bad-crc")
    if any(data[10:16]) or any(data[76:512]):
        raise Fault("bad-padding")
    if start != AREA_OFFSET:
        raise Fault("bad-offset")
    if size > (1 << 63) - 1 - AREA_OFFSET:
        raise Fault("bad-length")
    return Superblock(uuid.UUID(bytes=data[16:32]), uuid.UUID(bytes=data[32:48]), number, start,
                      size)


def parse_checkpoint(data):
    """(epoch, first sequence)"""
    if len(data) < 512:
        raise Fault("short", "checkpoint")
    epoch, first, crc = struct.unpack_from("<QQI", data)
    if crc != crc32c(data[:16]):
        raise Fault("bad-crc")
    if any(data[20:512]):
        raise Fault("bad-padding")
    return epoch, first


class EndOfScan(Fault):
    """No record of this scan begins here."""


def parse_record(data, epoch, sequence):
    """The record at the beginning of DATA and its size; its MAC is not checked."""
    if len(data) < 128:
        raise EndOfScan("short")
    magic, kind, flags, path_size, data_size, crc, found_epoch, found_sequence = \
        struct.unpack_from("<4sBBHIIQQ", data)
    if magic != b"JREC":
        raise EndOfScan("bad-magic")
    if data_size > DATA_MAX:
        raise EndOfScan("bad-length")
    body = 128 + path_size + data_size
    covered = body + -body % 8
    if len(data) < covered + 32:
        raise EndOfScan("short")
    data = bytes(data[:covered + 32])
    if found_epoch != epoch:
        raise EndOfScan("wrong-epoch")
    if found_sequence != sequence:
        raise EndOfScan("wrong-sequence")
    if crc != crc32c(data[:12] + bytes(4) + data[16:]):
        raise EndOfScan("bad-crc")
    if kind not in (WRITE, APPLIED):
        raise Fault("bad-kind")
    if flags & ~(EXACT | HEADER | OPEN):
        raise Fault("bad-flags")
    offset, result = struct.unpack_from("<QQ", data, 104)
    if any(data[120:128]) or any(data[body:covered]):
        raise Fault("bad-padding")
    record = JournalRecord(kind, flags, data[128:128 + path_size],
                           data[128 + path_size:body], epoch, sequence,
                           uuid.UUID(bytes=data[32:48]), uuid.UUID(bytes=data[48:64]),
                           data[64:80], data[80:104], offset, result,
                           data[:12] + bytes(4) + data[16:covered], data[covered:])
    check_record(record)
    return record, covered + 32


def check_record(record):
    """What no writer says."""
    if record.kind == APPLIED:
        if record.flags:
            raise Fault("bad-flags")
        if record.data:
            raise Fault("bad-length")
        return
    end = record.offset + len(record.data)
    limit = (1 << 63) - 1
    if end > limit or (record.flags & HEADER and record.offset != 0):
        raise Fault("bad-offset")
    if record.flags & OPEN and len(record.data) < 28:
        raise Fault("bad-length")
    if record.flags & HEADER and len(record.data) < 128:
        raise Fault("bad-length")
    if record.result > limit or (record.flags & EXACT and end > record.result):
        raise Fault("bad-length")
    if b"\0" in record.path:
        raise Fault("bad-name")


def scan(data):
    """Superblock and records of a whole journal file."""
    superblock = parse_superblock(data)
    checkpoints = []
    for offset in (4096, 8192):
        try:
            checkpoints.append(parse_checkpoint(data[offset:offset + 512]))
        except Fault:
            pass
    records = []
    if checkpoints:
        epoch, sequence = max(checkpoints)
        half = superblock.area_size // 16 * 8
        offset = superblock.area_offset + (epoch & 1) * half
        view = memoryview(data)[:min(offset + half, len(data))]
        while True:
            try:
                record, size = parse_record(view[offset:], epoch, sequence)
            except EndOfScan:
                break
            record.journal = superblock.number
            records.append(record)
            offset += size
            sequence += 1
    return superblock, records


def live_records(records):
    """In order; without those that an `applied` record has overtaken."""
    live = []
    for record in sorted(records, key=lambda r: (r.journal, r.sequence)):
        if record.kind == APPLIED:
            live = [r for r in live if r.object_id != record.object_id]
        else:
            live.append(record)
    return live


def overlay(content, records, last_block_verifies):
    """What RECORDS (live, in order) make of the backing bytes CONTENT of the file they name."""
    data = bytearray(content)
    last = None
    for record in records:
        if record.kind != WRITE or data[48:64] != record.object_id:
            continue
        current = bytes(data[64:88])
        allowed = {record.content_id}
        if record.flags & HEADER:
            allowed.add(record.data[64:88])
        if current not in allowed:
            continue
        last = record
        if record.flags & OPEN:
            _put(data, record.offset, record.data[:-28])
            continue
        _put(data, record.offset, record.data)
        if record.flags & EXACT:
            del data[record.result:]
        if len(data) < record.result:
            data.extend(bytes(record.result - len(data)))
    if last is not None and last.flags & OPEN:
        if not (len(data) > last.result and last_block_verifies(bytes(data))):
            _put(data, last.offset + len(last.data) - 28, last.data[-28:])
            del data[last.result:]
    return bytes(data)


def _put(data, offset, piece):
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(piece)] = piece
