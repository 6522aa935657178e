# SPDX-License-Identifier: Apache-2.0
"""The vectors of manifests; run make.py."""
import stat
import struct

from fixed import CONTENT, DEK, OBJECT, OTHER_VOLUME, SNAPSHOT, VOLUME, fixed, fixed_uuid, write


class Manifest:
    """Builds a manifest whose every number can be wrong."""

    def __init__(self):
        self.heap = b""
        self.deks = [DEK.id.bytes]
        self.tags = [fixed(f"tag {i}", 16) for i in range(4)]
        self.magic, self.version, self.zero, self.rest = b"SNPMANIF", 1, bytes(6), bytes(112)
        self.volume, self.snapshot = VOLUME, SNAPSHOT
        self.sections = {}
        attributes = self.attribute(b"user.comment", b"value") + self.attribute(b"user.x", b"")
        self.objects = [
            dict(mode=stat.S_IFDIR | 0o755, directory=0, link_count=1),
            dict(mode=stat.S_IFREG | 0o640, dek=0, size=5, object_id=OBJECT, content_id=CONTENT,
                 tag_count=1, link_count=2, attributes=attributes, attribute_count=2),
            dict(mode=stat.S_IFLNK | 0o777, dek=0, target=b"../base", size=7, link_count=1),
            dict(mode=stat.S_IFDIR | 0o700, directory=1, link_count=1),
            dict(mode=stat.S_IFBLK | 0o600, major=8, minor=1, link_count=1),
            dict(mode=stat.S_IFREG | 0o600, dek=0, size=8192 + 1, first_tag=1, tag_count=3,
                 flags=1, object_id=fixed("object 2", 16), content_id=fixed("content 2", 24),
                 link_count=1, mtime_s=-1, mtime_ns=999999999),
        ]
        self.directories = [(0, 0, 4), (3, 4, 2)]
        self.entries = [(b"a", 1), (b"b.link", 2), (b"directory", 3), (b"sda1", 4), (b"hard", 1),
                        (b"sparse", 5)]

    @staticmethod
    def attribute(name, value, zero=0):
        return struct.pack("<HHI", len(name), zero, len(value)) + name + value

    def put(self, data):
        self.heap += data
        return len(self.heap) - len(data)

    def encode_object(self, mode=0, uid=1000, gid=100, dek=0xFFFFFFFF, major=0, minor=0, mtime_s=1,
                      mtime_ns=2, flags=0, size=0, object_id=bytes(16), content_id=bytes(24),
                      directory=0, target=b"", attributes=b"", attribute_count=0, first_tag=0,
                      tag_count=0, link_count=1, zero=bytes(12), **override):
        fields = dict(target_offset=self.put(target), target_size=len(target),
                      attributes_offset=self.put(attributes), attributes_size=len(attributes))
        fields.update(override)
        return struct.pack("<6IqIIQ16s24sQQIIQQQQI12s", mode, uid, gid, dek, major, minor, mtime_s,
                           mtime_ns, flags, size, object_id, content_id, directory,
                           fields["target_offset"], fields["target_size"], attribute_count,
                           fields["attributes_offset"], fields["attributes_size"], first_tag,
                           tag_count, link_count, zero)

    def encode_entry(self, entry):
        name, index = entry[0], entry[1]
        options = entry[2] if len(entry) > 2 else {}
        mode = self.objects[index]["mode"] if index < len(self.objects) else stat.S_IFREG
        return struct.pack("<QIIQ", options.get("offset", self.put(name)),
                           options.get("size", len(name)), options.get("type", stat.S_IFMT(mode)),
                           index)

    def encode(self):
        bodies = [b"".join(self.deks), b"".join(struct.pack("<QQQ", *d) for d in self.directories),
                  b"".join(self.encode_entry(e) for e in self.entries),
                  b"".join(self.encode_object(**o) for o in self.objects)]
        bodies += [self.heap, b"".join(self.tags)]
        counts = [len(self.deks), len(self.directories), len(self.entries), len(self.objects),
                  len(self.heap), len(self.tags)]
        data, table = b"", b""
        for i, body in enumerate(bodies):
            offset = 256 + len(data)
            offset, count = self.sections.get(i, lambda o, c: (o, c))(offset, counts[i])
            table += struct.pack("<QQ", offset, count)
            data += body + bytes(-len(body) % 8)
        head = (struct.pack("<8sH6s", self.magic, self.version, self.zero) + self.volume.bytes
                + self.snapshot.bytes + table + self.rest)
        return head + data


def manifests():
    def put(name, expect, change=None, edit=None):
        manifest = Manifest()
        if change:
            change(manifest)
        data = manifest.encode()
        write("manifest", name, expect, edit(data) if edit else data, snapshot=SNAPSHOT)

    def setting(name, value):
        return lambda m: setattr(m, name, value)

    def section(index, function):
        return lambda m: m.sections.__setitem__(index, function)

    def objects(index, **fields):
        return lambda m: m.objects[index].update(fields)

    def entries(index, entry):
        return lambda m: m.entries.__setitem__(index, entry)

    put("tree", "ok")
    put("empty-directory", "ok", lambda m: (m.entries.clear(), m.directories.__setitem__(
        slice(None), [(0, 0, 0)]), m.objects.__delitem__(slice(1, None)), m.tags.clear()))
    put("nothing", "short", edit=lambda d: b"")
    put("255-bytes", "short", edit=lambda d: d[:255])
    put("magic", "bad-magic", setting("magic", b"SNPMANIG"))
    put("version-2", "bad-version", setting("version", 2))
    put("reserved", "bad-padding", setting("zero", b"\1" + bytes(5)))
    put("rest", "bad-padding", setting("rest", bytes(111) + b"\1"))
    put("other-volume", "wrong-volume", setting("volume", OTHER_VOLUME))
    put("other-snapshot", "wrong-snapshot", setting("snapshot", fixed_uuid("another snapshot")))
    put("section-not-aligned", "bad-offset", section(2, lambda o, c: (o + 4, c)))
    put("section-in-header", "bad-order", section(0, lambda o, c: (248, c)))
    put("sections-overlap", "bad-order", section(3, lambda o, c: (o - 8, c)))
    put("sections-swapped", "bad-order", section(1, lambda o, c: (o + 400, 0)))
    put("count-beyond-end", "bad-length", section(5, lambda o, c: (o, c + 1)))
    put("count-overflow", "bad-length", section(3, lambda o, c: (o, (1 << 64) // 160 + 1)))
    put("offset-beyond-end", "bad-length", section(5, lambda o, c: (1 << 63, 0)))
    put("no-dek", "bad-index", section(0, lambda o, c: (o, 0)))
    put("no-directory", "bad-index", section(1, lambda o, c: (o, 0)))
    put("directory-object", "bad-index", lambda m: m.directories.__setitem__(0, (6, 0, 4)))
    put("directory-entries-beyond", "bad-index",
        lambda m: m.directories.__setitem__(1, (3, 4, 3)))
    put("directory-entries-overflow", "bad-index",
        lambda m: m.directories.__setitem__(1, (3, (1 << 64) - 1, 2)))
    put("entry-object", "bad-index", entries(3, (b"sda1", 6)))
    put("entry-type-0", "bad-type", entries(0, (b"a", 1, {"type": 0})))
    put("entry-type-with-mode", "bad-type", entries(0, (b"a", 1, {"type": 0o100644})))
    put("entry-type-of-another", "bad-type", entries(0, (b"a", 1, {"type": stat.S_IFIFO})))
    put("name-empty", "bad-name", entries(0, (b"", 1)))
    put("name-256-bytes", "bad-name", entries(0, (b"a" * 256, 1)))
    put("name-beyond-heap", "bad-name", entries(0, (b"a", 1, {"offset": 1 << 40})))
    put("name-overflow", "bad-name", entries(0, (b"a", 1, {"offset": (1 << 64) - 1, "size": 2})))
    put("name-with-slash", "bad-name", entries(0, (b"../a", 1)))
    put("name-with-nul", "bad-name", entries(0, (b"a\0b", 1)))
    put("name-dot", "bad-name", entries(0, (b".", 1)))
    put("name-dot-dot", "bad-name", entries(0, (b"..", 1)))
    put("names-out-of-order", "bad-order", entries(0, (b"z", 1)))
    put("names-equal", "bad-order", entries(1, (b"a", 2)))
    put("object-mode", "bad-type", objects(1, mode=0o644))
    put("object-mode-high-bits", "bad-type", objects(1, mode=stat.S_IFREG | 1 << 20))
    put("object-dek", "bad-index", objects(1, dek=1))
    put("object-flags", "bad-flags", objects(1, flags=2))
    put("object-padding", "bad-padding", objects(1, zero=bytes(11) + b"\1"))
    put("object-nanoseconds", "bad-length", objects(1, mtime_ns=1000000000))
    put("object-size", "bad-length", objects(1, size=1 << 63))
    put("object-directory", "bad-index", objects(3, directory=2))
    put("target-empty", "bad-length", objects(2, target=b""))
    put("target-4096-bytes", "bad-length", objects(2, target=b"t" * 4096))
    put("target-beyond-heap", "bad-length", objects(2, target_offset=1 << 40))
    put("target-with-nul", "bad-name", objects(2, target=b"a\0b"))
    put("attributes-beyond-heap", "bad-length", objects(1, attributes_size=1 << 20))
    put("attribute-cut", "bad-length", objects(1, attributes=b"\1\0\0"))
    put("attribute-value-beyond", "bad-length",
        objects(1, attributes=struct.pack("<HHI", 1, 0, 9) + b"a"))
    put("attribute-reserved", "bad-length",
        objects(1, attributes=Manifest.attribute(b"a", b"", 1), attribute_count=1))
    put("attribute-without-name", "bad-length",
        objects(1, attributes=Manifest.attribute(b"", b"v"), attribute_count=1))
    put("attribute-count", "bad-length", objects(1, attribute_count=3))
    put("attributes-out-of-order", "bad-order",
        objects(1, attributes=Manifest.attribute(b"user.b", b"") +
                Manifest.attribute(b"user.a", b"")))
    put("tags-beyond", "bad-tag", objects(5, tag_count=4))
    put("tags-overflow", "bad-tag", objects(5, first_tag=(1 << 64) - 1, tag_count=2))
