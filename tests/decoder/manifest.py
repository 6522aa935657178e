# SPDX-License-Identifier: Apache-2.0
"""Section 11: the manifest of a sealed snapshot, from its plaintext."""
import dataclasses
import stat
import struct
import uuid

from .errors import Fault

SECTIONS = ("deks", "directories", "entries", "objects", "heap", "tags")
RECORD_SIZES = (16, 24, 24, 160, 1, 16)
NO_DEK = 0xFFFFFFFF
FILE_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO,
              stat.S_IFSOCK)
LARGEST = (1 << 63) - 1


@dataclasses.dataclass
class Object:
    mode: int
    uid: int
    gid: int
    dek: int
    major: int
    minor: int
    mtime_s: int
    mtime_ns: int
    is_sparse: bool
    size: int
    object_id: bytes
    content_id: bytes
    directory: int
    target: bytes
    attributes: dict
    tags: list
    link_count: int


class Manifest:
    def __init__(self, data, volume=None, snapshot=None):
        self.data = data
        if len(data) < 256:
            raise Fault("short")
        if data[:8] != b"SNPMANIF":
            raise Fault("bad-magic")
        if struct.unpack_from("<H", data, 8)[0] != 1:
            raise Fault("bad-version")
        if any(data[10:16]) or any(data[144:256]):
            raise Fault("bad-padding")
        self.volume = uuid.UUID(bytes=data[16:32])
        self.snapshot = uuid.UUID(bytes=data[32:48])
        if volume is not None and self.volume != volume:
            raise Fault("wrong-volume")
        if snapshot is not None and self.snapshot != snapshot:
            raise Fault("wrong-snapshot")
        self.sections = {}
        end = 256
        for i, (name, size) in enumerate(zip(SECTIONS, RECORD_SIZES)):
            offset, count = struct.unpack_from("<QQ", data, 48 + 16 * i)
            if offset % 8:
                raise Fault("bad-offset", name)
            if offset < end:
                raise Fault("bad-order", name)
            end = offset + count * size
            if end > len(data):
                raise Fault("bad-length", name)
            self.sections[name] = (offset, count, size)
        if not self.count("deks") or not self.count("directories"):
            raise Fault("bad-index")

    def count(self, section):
        return self.sections[section][1]

    def _records(self, section, first, count, fault="bad-index"):
        offset, total, size = self.sections[section]
        if first + count > total:
            raise Fault(fault, section)
        return self.data[offset + first * size:offset + (first + count) * size]

    def dek(self, index):
        return uuid.UUID(bytes=self._records("deks", index, 1))

    def directory(self, index):
        """object index, first entry, entry count"""
        record = struct.unpack("<QQQ", self._records("directories", index, 1))
        if record[0] >= self.count("objects") or record[1] + record[2] > self.count("entries"):
            raise Fault("bad-index", "directory")
        return record

    def entry(self, index):
        """name, type, object index"""
        offset, size, kind, target = struct.unpack("<QIIQ", self._records("entries", index, 1))
        if target >= self.count("objects"):
            raise Fault("bad-index", "entry")
        if kind not in FILE_TYPES:
            raise Fault("bad-type", "entry")
        if not 1 <= size <= 255:
            raise Fault("bad-name", "size")
        name = self._records("heap", offset, size, "bad-name")
        if b"\0" in name or b"/" in name or name in (b".", b".."):
            raise Fault("bad-name")
        return name, kind, target

    def object(self, index):
        data = self._records("objects", index, 1)
        (mode, uid, gid, dek, major, minor, mtime_s, mtime_ns, flags, size, object_id, content_id,
         directory, target_offset, target_size, attribute_count, attributes_offset,
         attributes_size, first_tag, tag_count, link_count) = \
            struct.unpack_from("<6IqIIQ16s24sQQIIQQQQI", data)
        if any(data[148:]):
            raise Fault("bad-padding", "object")
        if flags & ~1:
            raise Fault("bad-flags", "object")
        if dek != NO_DEK and dek >= self.count("deks"):
            raise Fault("bad-index", "object")
        if mode > 0o177777 or stat.S_IFMT(mode) not in FILE_TYPES:
            raise Fault("bad-type", "object")
        if stat.S_ISDIR(mode) and directory >= self.count("directories"):
            raise Fault("bad-index", "object")
        if mtime_ns >= 1000000000 or size > LARGEST:
            raise Fault("bad-length", "object")
        if target_size > 4095 or (stat.S_ISLNK(mode) and not target_size):
            raise Fault("bad-length", "target")
        target = self._records("heap", target_offset, target_size, "bad-length")
        if b"\0" in target:
            raise Fault("bad-name", "target")
        attributes = self._attributes(
            self._records("heap", attributes_offset, attributes_size, "bad-length"))
        if len(attributes) != attribute_count:
            raise Fault("bad-length", "attributes")
        tags = self._records("tags", first_tag, tag_count, "bad-tag")
        return Object(mode, uid, gid, dek, major, minor, mtime_s, mtime_ns, bool(flags & 1), size,
                      object_id, content_id, directory,
                      target, attributes,
                      [tags[i:i + 16] for i in range(0, len(tags), 16)], link_count)

    @staticmethod
    def _attributes(data):
        attributes = {}
        while data:
            if len(data) < 8:
                raise Fault("bad-length", "attribute")
            name_size, zero, value_size = struct.unpack_from("<HHI", data)
            if zero or not name_size or len(data) < 8 + name_size + value_size:
                raise Fault("bad-length", "attribute")
            name = data[8:8 + name_size]
            attributes[name] = data[8 + name_size:8 + name_size + value_size]
            data = data[8 + name_size + value_size:]
        if list(attributes) != sorted(attributes):
            raise Fault("bad-order", "attributes")
        return attributes

    def walk(self, index=0, path=b""):
        """(path, Object) of everything below directory INDEX, itself first."""
        stack = [(index, path)]
        yield path, self.object(self.directory(index)[0])
        while stack:
            index, path = stack.pop()
            _, first, count = self.directory(index)
            previous = None
            for number in range(first, first + count):
                name, kind, target = self.entry(number)
                if previous is not None and name <= previous:
                    raise Fault("bad-order", "entries")
                previous = name
                thing = self.object(target)
                if stat.S_IFMT(thing.mode) != kind:
                    raise Fault("bad-type")
                child = path + b"/" + name if path else name
                yield child, thing
                if kind == stat.S_IFDIR:
                    if thing.directory <= index:
                        raise Fault("bad-order", "directories")
                    stack.append((thing.directory, child))
