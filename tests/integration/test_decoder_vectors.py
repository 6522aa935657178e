# SPDX-License-Identifier: Apache-2.0
"""The independent decoder and the C code agree on every vector of tests/vectors/format."""
import glob
import hashlib
import os
import stat
import uuid

import pytest
from decoder import files, journal
from decoder.errors import Fault
from decoder.keys import Dek
from decoder.manifest import Manifest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

VECTORS = sorted(glob.glob(os.path.join(TESTS, "vectors", "format", "*.vec")))


class Vector:
    def __init__(self, path):
        with open(path, encoding="ascii") as stream:
            head, _, body = stream.read().partition("\n\n")
        self.fields = dict(line.split(": ", 1) for line in head.split("\n"))
        self.data = bytes.fromhex(body)
        self.volume = uuid.UUID(self.fields["volume"])
        self.dek = Dek(self.volume, uuid.UUID(self.fields["dek"]),
                       bytes.fromhex(self.fields["key"]))

    def number(self, name):
        return int(self.fields[name])

    def bytes(self, name):
        text = self.fields[name]
        return b"" if text == "-" else bytes.fromhex(text)


def open_header(vector):
    header = files.parse_header(vector.data, vector.volume, vector.number("algorithm"),
                                vector.number("block-size-log2"))
    if header.dek != vector.dek.id:
        raise Fault("bad-tag", "another key")
    vector.dek.check_mac("header", header.mac_input, header.mac)
    return header


def run_header(vector):
    header = open_header(vector)
    assert header.object_id == vector.bytes("object")
    assert header.content_id == vector.bytes("content")
    assert header.is_sparse == bool(vector.number("sparse"))


def run_file(vector):
    header = open_header(vector)
    data = vector.data
    plain = b"".join(files.decrypt_file(lambda at, size: data[at:at + size], len(data), vector.dek,
                                        header))
    assert len(plain) == vector.number("plain-size")
    assert hashlib.sha256(plain).hexdigest() == vector.fields["plain-sha256"]


def run_name(vector):
    if len(vector.data) <= 16:
        raise Fault("bad-tag")
    assert vector.dek.open_name(vector.data) == vector.bytes("plain")
    name = files.decode_backing_name(vector.fields["backing"].encode(), vector.dek,
                                     lambda: b"\1" + vector.data)
    assert name == vector.bytes("plain")


def run_sealed_value(vector):
    plain = files.open_value(vector.data, vector.dek, vector.fields["kind"].encode(),
                             vector.bytes("object"), vector.bytes("attribute"))
    assert plain == vector.bytes("plain")


def run_superblock(vector):
    superblock = journal.parse_superblock(vector.data)
    assert superblock.number == vector.number("number")
    assert superblock.area_size == vector.number("area-size")


def run_checkpoint(vector):
    assert journal.parse_checkpoint(vector.data) == (vector.number("epoch"),
                                                     vector.number("first-sequence"))


def run_journal_record(vector):
    record, _ = journal.parse_record(vector.data, vector.number("epoch"),
                                     vector.number("sequence"))
    assert (record.kind, record.flags) == (vector.number("kind"), vector.number("flags"))
    assert (record.path, record.data) == (vector.bytes("path"), vector.bytes("content"))
    vector.dek.check_mac("journal", record.mac_input, record.mac)


def run_manifest(vector):
    manifest = Manifest(vector.data, vector.volume, uuid.UUID(vector.fields["snapshot"]))
    for index in range(manifest.count("directories")):
        manifest.directory(index)
    for _, thing in manifest.walk():
        assert stat.S_IFMT(thing.mode)


RUN = {"header": run_header, "file": run_file, "name": run_name, "sealed-value": run_sealed_value,
       "superblock": run_superblock, "checkpoint": run_checkpoint,
       "journal-record": run_journal_record, "manifest": run_manifest}


@pytest.mark.parametrize("path", VECTORS, ids=os.path.basename)
def test_decoder_agrees_with_the_vector(path):
    vector = Vector(path)
    try:
        RUN[vector.fields["codec"]](vector)
        outcome = "ok"
    except Fault as fault:
        outcome = fault.word
    assert outcome == vector.fields["expect"]


def test_rejections_outnumber_acceptances():
    accepted = sum(Vector(path).fields["expect"] == "ok" for path in VECTORS)
    assert 0 < accepted < len(VECTORS) - accepted
