# SPDX-License-Identifier: Apache-2.0
"""Sections 4 to 8: headers, blocks, holes, names, symlink targets, attributes."""
import dataclasses
import hashlib
import struct
import uuid

from .errors import Fault
from .keys import ALGORITHMS, open_sealed
from .text import b64_decode, b64_encode

HEADER_SIZE = 128
OVERHEAD = 28


@dataclasses.dataclass
class Header:
    algorithm: int
    block_size_log2: int
    is_sparse: bool
    volume: uuid.UUID
    dek: uuid.UUID
    object_id: bytes
    content_id: bytes
    mac: bytes
    mac_input: bytes

    @property
    def block_size(self):
        return 1 << self.block_size_log2


def parse_header(data, volume=None, algorithm=None, block_size_log2=None):
    """Everything but the MAC, which needs the key that the header names."""
    if len(data) < HEADER_SIZE:
        raise Fault("short", "header")
    magic, version, found_algorithm, log2, flags = struct.unpack_from("<8sHBBI", data)
    if magic != b"SNPCRYPT":
        raise Fault("bad-magic")
    if version != 1:
        raise Fault("bad-version", str(version))
    if found_algorithm not in ALGORITHMS:
        raise Fault("bad-algorithm", str(found_algorithm))
    if flags & ~1:
        raise Fault("bad-flags", hex(flags))
    if any(data[88:96]):
        raise Fault("bad-padding")
    header = Header(found_algorithm, log2, bool(flags & 1), uuid.UUID(bytes=data[16:32]),
                    uuid.UUID(bytes=data[32:48]), data[48:64], data[64:88], data[96:128],
                    data[:96])
    if volume is not None and header.volume != volume:
        raise Fault("wrong-volume")
    if algorithm is not None and found_algorithm != algorithm:
        raise Fault("wrong-algorithm")
    if not 12 <= log2 <= 20 or (block_size_log2 is not None and log2 != block_size_log2):
        raise Fault("wrong-block-size")
    return header


def plain_size(sealed_size, block_size):
    """The size, and whether the last block is there."""
    full, rest = divmod(max(sealed_size - HEADER_SIZE, 0), block_size + OVERHEAD)
    if rest >= OVERHEAD:
        return full * block_size + rest - OVERHEAD, True
    return full * block_size, False


def sealed_size(size, block_size):
    full, rest = divmod(size, block_size)
    return HEADER_SIZE + full * (block_size + OVERHEAD) + rest + OVERHEAD


def decrypt_file(read, sealed, dek, header):
    """Blocks of plaintext; READ(offset, size) gives backing bytes, SEALED is the backing size."""
    dek.check_mac("header", header.mac_input, header.mac)
    size, is_terminated = plain_size(sealed, header.block_size)
    if not is_terminated:
        raise Fault("unterminated")
    cipher = dek.file_cipher(header.algorithm, header.block_size_log2, header.content_id)
    last = size // header.block_size
    for index in range(last + 1):
        fill = header.block_size if index < last else size % header.block_size
        offset = HEADER_SIZE + index * (header.block_size + OVERHEAD)
        data = read(offset, fill + OVERHEAD)
        if len(data) != fill + OVERHEAD:
            raise Fault("short", f"block {index}")
        if index < last and header.is_sparse and not any(data):
            yield bytes(fill)
        else:
            yield open_sealed(cipher, struct.pack("<Q", index), data)


def decode_backing_name(backing, dek, read_sidecar):
    """The plain name; READ_SIDECAR gives the bytes of `<backing>.name`."""
    if backing.startswith(b"="):
        if len(backing) != 44:
            raise Fault("bad-name", "length of a long name")
        data = read_sidecar()
        if not data or data[0] != 1:
            raise Fault("bad-version", "sidecar")
        siv = data[1:]
        if hashlib.sha256(siv).digest() != b64_decode(backing[1:], 32):
            raise Fault("bad-name", "sidecar of another name")
        if len(b64_encode(siv)) <= 255:
            raise Fault("bad-name", "a short name stored as a long one")
    else:
        siv = b64_decode(backing)
    if len(siv) > 16 + 255:
        raise Fault("bad-name", "too long")
    name = dek.open_name(siv)
    if b"\0" in name or b"/" in name or name in (b".", b".."):
        raise Fault("bad-name", "no name of a file")
    return name


def parse_sealed_value(value):
    """Of which DEK it is, and nonce | ciphertext | tag."""
    if value and value[0] != 1:
        raise Fault("bad-version", "sealed value")
    if len(value) < 45:
        raise Fault("short", "sealed value")
    if len(value) > 65536:
        raise Fault("long", "sealed value")
    return uuid.UUID(bytes=value[1:17]), value[17:]


def open_value(value, dek, kind, object_id=bytes(16), name=b""):
    """Plaintext of a sealed value; KIND is b"x" or b"s"."""
    dek_id, sealed = parse_sealed_value(value)
    if dek_id != dek.id:
        raise Fault("wrong-key")
    return dek.open_meta(dek.volume.bytes + kind + object_id + name, sealed)
