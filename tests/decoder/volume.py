# SPDX-License-Identifier: Apache-2.0
"""A whole volume: records, keys, and a walk over everything that is in it, decrypted."""
import base64
import errno
import hashlib
import os
import stat
import uuid

from . import files, journal, manifest, records
from .errors import Fault, NoKey
from .keys import Dek, parse_uuid
from .text import b64_decode

XATTR_PREFIXES = (b"user.snapcrypt.x.", b"trusted.snapcrypt.x.")
OWN_PREFIXES = (b"user.snapcrypt.", b"trusted.snapcrypt.")


def _read(path):
    with open(path, "rb") as stream:
        return stream.read()


def _shown(name):
    return name.decode("utf-8", "surrogateescape")


class Snapshot:
    def __init__(self, identity, path, is_root):
        members = identity.members
        self.identity = identity
        self.path = path
        self.id = parse_uuid(members["snapshot"])
        self.kind = members["kind"]
        self.is_root = is_root
        self.dek = parse_uuid(members["dek"]) if "dek" in members else None
        self.is_encrypted = members.get("encryption") != "off"


class Volume:
    """An opened backing directory.  DEKS: {uuid.UUID: 32 bytes}; KEYRINGS open further ones."""

    def __init__(self, root, deks=None, keyrings=(), trusted=None, replay=False):
        self.root = os.fsencode(root)
        self.control = os.path.join(self.root, b".snapcrypt")
        self.trusted = trusted
        self.findings = []
        self.record = self._load_volume()
        members = self.record.members
        self.id = parse_uuid(members["volume"])
        self.block_size = members["block_size"]
        self.block_size_log2 = self.block_size.bit_length() - 1
        self.algorithm = members["algorithm"]
        self.depth = members["snapshot_depth"]
        self.is_encrypted = members["encryption"] == "on"
        self.has_encrypted_names = members["names"] == "encrypted"
        self._given = dict(deks or {})
        self._keyrings = keyrings
        self._deks = {}
        self.key_records = self._load_key_records()
        self.journal_records = self._load_journals()
        self._live = journal.live_records(self.journal_records) if replay else []

    def note(self, path, error):
        self.findings.append({"path": _shown(path), "fault": getattr(error, "word", "no-key"),
                              "text": str(error)})

    # ---- Records ----

    def _load_generations(self, directory, kind):
        found = []
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if not name.isdigit() or name.startswith(b"0"):
                continue
            try:
                record = records.Record(_read(path))
                if record.type != kind:
                    raise Fault("bad-kind", f"{record.type} record among {kind} records")
                if record.members["generation"] != int(name):
                    raise Fault("bad-index", "generation differs from the file's name")
                found.append((int(name), record))
            except Fault as fault:
                self.note(os.path.relpath(path, self.root), fault)
        return found

    def _load_volume(self):
        found = self._load_generations(os.path.join(self.control, b"volume"), "volume")
        record = records.highest(found, self.trusted)
        if record is None:
            raise Fault("short", "no volume record")
        return record

    def _load_key_records(self):
        loaded = {}
        directory = os.path.join(self.control, b"keys")
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            record = records.highest(
                self._load_generations(os.path.join(directory, name), "key"), self.trusted)
            if record is None:
                continue
            dek = parse_uuid(name.decode())
            if record.members["dek"] != str(dek) or record.members["volume"] != str(self.id):
                self.note(b"keys/" + name, Fault("wrong-key", "ids of a key record"))
                continue
            loaded[dek] = record
        return loaded

    def _load_journals(self):
        directory = os.path.join(self.control, b"journal")
        found = []
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            path = os.path.join(directory, name)
            try:
                superblock, scanned = journal.scan(_read(path))
                if superblock.volume != self.id:
                    raise Fault("wrong-volume")
            except Fault as fault:
                self.note(os.path.relpath(path, self.root), fault)
                continue
            for record in scanned:
                try:
                    self.dek(record.dek).check_mac("journal", record.mac_input, record.mac)
                    found.append(record)
                except (Fault, NoKey) as fault:
                    self.note(os.path.relpath(path, self.root), fault)
        return found

    # ---- Keys ----

    def dek(self, dek_id):
        """An open data key, its commitment and its record's MAC checked where there is a record."""
        if dek_id in self._deks:
            return self._deks[dek_id]
        record = self.key_records.get(dek_id)
        key = self._given.get(dek_id)
        for keyring in self._keyrings:
            if key is None and record is not None:
                key = keyring.open(record)
        if key is None:
            raise NoKey(dek_id)
        dek = Dek(self.id, dek_id, key)
        if record is not None:
            dek.check_commitment(b64_decode(record.members["commitment"], 32))
            record.check_mac(dek, "slots")
        self._deks[dek_id] = dek
        return dek

    # ---- Objects ----

    def read_header(self, path):
        with open(path, "rb") as stream:
            return files.parse_header(stream.read(files.HEADER_SIZE), self.id, self.algorithm,
                                      self.block_size_log2)

    def read_content(self, path, header=None):
        """Plaintext blocks of an encrypted backing file."""
        if header is None:
            header = self.read_header(path)
        dek = self.dek(header.dek)
        mine = [r for r in self._live if r.object_id == header.object_id]
        if mine:
            data = journal.overlay(_read(path), mine, self._last_block_verifies)
            header = files.parse_header(data, self.id, self.algorithm, self.block_size_log2)
            yield from files.decrypt_file(lambda at, size: data[at:at + size], len(data), dek,
                                          header)
            return
        with open(path, "rb") as stream:
            def read(offset, size):
                stream.seek(offset)
                return stream.read(size)
            yield from files.decrypt_file(read, os.fstat(stream.fileno()).st_size, dek, header)

    def _last_block_verifies(self, data):
        try:
            header = files.parse_header(data, self.id, self.algorithm, self.block_size_log2)
            dek = self.dek(header.dek)
            size, is_terminated = files.plain_size(len(data), self.block_size)
            if not is_terminated:
                return False
            cipher = dek.file_cipher(header.algorithm, header.block_size_log2, header.content_id)
            index = size // self.block_size
            offset = files.HEADER_SIZE + index * (self.block_size + files.OVERHEAD)
            files.open_sealed(cipher, index.to_bytes(8, "little"), data[offset:])
            return True
        except Fault:
            return False

    def read_target(self, path):
        value = b64_decode(os.readlink(path))
        dek_id, _ = files.parse_sealed_value(value)
        return files.open_value(value, self.dek(dek_id), b"s")

    def read_attributes(self, path, object_id):
        """{full name: value} of users' attributes; ACLs as they are; the index under its own names."""
        attributes, index = {}, {}
        for name in os.listxattr(path, follow_symlinks=False):
            raw = os.fsencode(name)
            prefix = next((p for p in XATTR_PREFIXES if raw.startswith(p)), None)
            value = os.getxattr(path, name, follow_symlinks=False)
            if prefix:
                dek_id, _ = files.parse_sealed_value(value)
                dek = self.dek(dek_id)
                plain = dek.open_name(b64_decode(raw[len(prefix):]))
                attributes[plain] = files.open_value(value, dek, b"x", object_id, plain)
            elif raw.startswith(OWN_PREFIXES):
                index[raw] = value
            else:
                attributes[raw] = value
        return attributes, index

    # ---- Walk ----

    def walk(self):
        """Dictionaries, one for each object: see describe()."""
        root = Snapshot(self._identity(self.root), b"", True)
        yield from self._walk_directory(root, b"", b"", 0)

    def _identity(self, path):
        identity = records.Record(_read(os.path.join(path, b".snapcrypt-id")))
        if identity.type != "identity" or identity.members["volume"] != str(self.id):
            raise Fault("wrong-volume", "identity")
        if "dek" in identity.members:
            identity.check_mac(self.dek(parse_uuid(identity.members["dek"])), "identity")
        return identity

    def names_are_encrypted(self, snapshot):
        return (self.has_encrypted_names and self.is_encrypted and snapshot.is_encrypted
                and snapshot.kind == "snapshot")

    def plain_name(self, snapshot, directory, backing):
        if not self.names_are_encrypted(snapshot):
            return backing
        return files.decode_backing_name(
            backing, self.dek(snapshot.dek),
            lambda: _read(os.path.join(directory, backing + b".name")))

    def _walk_directory(self, snapshot, backing_path, plain_path, depth):
        directory = os.path.join(self.root, backing_path)
        for backing in sorted(os.listdir(directory)):
            path = os.path.join(directory, backing)
            relative = os.path.join(backing_path, backing)
            if backing.startswith(b".snapcrypt"):
                continue
            try:
                if self.names_are_encrypted(snapshot) and backing.endswith(b".name"):
                    continue
                name = self.plain_name(snapshot, directory, backing)
            except (Fault, NoKey, OSError) as error:
                self.note(relative, error)
                continue
            plain = os.path.join(plain_path, name)
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
            inside = snapshot
            if is_directory and snapshot.is_root and depth + 1 == self.depth:
                try:
                    inside = Snapshot(self._identity(path), plain, False)
                except (Fault, NoKey, OSError) as error:
                    self.note(relative, error)
                    continue
            try:
                yield self.describe(inside, path, plain)
            except (Fault, NoKey) as error:
                self.note(relative, error)
            if is_directory:
                yield from self._walk_directory(inside, relative, plain, depth + 1)

    def describe(self, snapshot, path, plain):
        """One object: type, mode, owner, times, size and SHA-256, target, attributes, DEK."""
        st = os.lstat(path)
        item = {"path": _shown(plain), "type": stat.S_IFMT(st.st_mode), "mode": st.st_mode & 0o7777,
                "uid": st.st_uid, "gid": st.st_gid, "mtime_ns": st.st_mtime_ns,
                "snapshot": str(snapshot.id), "backing": _shown(os.path.relpath(path, self.root))}
        object_id = bytes(16)
        is_encrypted = self.is_encrypted and snapshot.is_encrypted
        if stat.S_ISREG(st.st_mode):
            digest, size = hashlib.sha256(), 0
            if is_encrypted:
                header = self.read_header(path)
                object_id = header.object_id
                item["dek"] = str(header.dek)
                pieces = self.read_content(path, header)
            else:
                pieces = [_read(path)]
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
            item.update(size=size, sha256=digest.hexdigest(), nlink=st.st_nlink)
        elif stat.S_ISLNK(st.st_mode):
            item["target"] = _shown(self.read_target(path) if is_encrypted else os.readlink(path))
        elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            item["device"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
        try:
            attributes, index = self.read_attributes(path, object_id)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            attributes, index = {}, {}
        item["xattrs"] = {_shown(n): base64.b64encode(v).decode() for n, v in attributes.items()}
        item["index"] = {_shown(n): v.decode("utf-8", "replace") for n, v in index.items()}
        return item

    # ---- Seals ----

    def seals(self):
        """Records of seals/, in order, their chain and MACs checked."""
        directory = os.path.join(self.control, b"seals")
        previous, chain = None, []
        names = os.listdir(directory) if os.path.isdir(directory) else []
        for expected, sequence in enumerate(sorted(int(n) for n in names if n.isdigit()), 1):
            record = records.Record(_read(os.path.join(directory, str(sequence).encode())))
            if sequence != expected or record.members["sequence"] != sequence:
                raise Fault("wrong-sequence", "gap in the chain")
            stated = record.members.get("previous")
            if (b64_decode(stated, 32) if stated else None) != previous:
                raise Fault("wrong-sequence", "previous root")
            if record.type == "seal":
                record.check_mac(self.dek(uuid.UUID(record.members["dek"])), "seal")
            previous = record.root
            chain.append(record)
        return chain

    def manifest(self, snapshot_id, seal=None):
        """The manifest of a sealed snapshot; compared with its seal record if that is given."""
        path = os.path.join(self.control, b"manifests", str(snapshot_id).encode())
        header = self.read_header(path)
        plain = b"".join(self.read_content(path, header))
        if seal is not None:
            stated = seal.members["manifest"]
            if (stated["size"] != len(plain)
                    or b64_decode(stated["sha256"], 32) != hashlib.sha256(plain).digest()
                    or b64_decode(stated["object"], 16) != header.object_id
                    or b64_decode(stated["content"], 24) != header.content_id):
                raise Fault("bad-tag", "manifest is not the sealed one")
        return manifest.Manifest(plain, self.id, snapshot_id)
