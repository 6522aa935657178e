#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/vectors/records/: one fault for each file.  Everything is fixed, so a second run changes nothing."""
import base64
import copy
import json
import os
import sys
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from decoder.keys import Dek  # noqa: E402

VOLUME = "293b0ded-85cf-4a84-83c4-13fd92ee923e"
SNAPSHOT = "0d5b6a4e-5a53-4a5f-8d53-6d5d3a1f7c11"
DEK = "607e4a8f-1d79-43d0-bbdd-07afcec11e0a"
OTHER = "11111111-1111-4111-8111-111111111111"
KEY = bytes(range(32))
WRITER = Ed25519PrivateKey.from_private_bytes(bytes(reversed(range(32))))
WRITER_PUBLIC = WRITER.public_key().public_bytes(serialization.Encoding.Raw,
                                                 serialization.PublicFormat.Raw)
LABELS = {"key": "slots", "identity": "identity", "seal": "seal"}


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sign(line):
    signature = WRITER.sign(b"snapcrypt/1/record\n" + line)
    return line + b"\n" + dump({"key": b64(WRITER_PUBLIC), "signature": b64(signature)}).encode() + b"\n"


def with_mac(text, label):
    dek = Dek(uuid.UUID(VOLUME), uuid.UUID(DEK), KEY)
    start = text[:-1].encode()
    return start + b',"mac":"' + b64(dek.mac(label, start)).encode() + b'"}'


def slot(role="primary", number=1, **changes):
    header = {"format": 1, "volume": VOLUME, "snapshot": SNAPSHOT, "dek": DEK,
              "slot": f"22222222-2222-4222-8222-22222222222{number}", "role": role,
              "provider": "keyring", "key_id": "keyring:33333333-3333-4333-8333-333333333333#default",
              "wrapped": b64(bytes(60)), "parameters": {"algorithm": "A256GCM"},
              "access": {"source": "file"}}
    header.update(changes)
    return {"header": dump({k: v for k, v in header.items() if v is not None}), "capsule": b64(bytes(48))}


BASE = {
    "volume": {
        "type": "volume", "format": 1, "volume": VOLUME, "generation": 3,
        "created": "2026-11-24T03:04:05Z", "block_size": 65536, "algorithm": 1, "names": "encrypted",
        "snapshot_depth": 1, "encryption": "on", "default_key": "keyring:///var/lib/snapcrypt/keyring#default",
        "default_key_id": "keyring:33333333-3333-4333-8333-333333333333#default",
        "recovery_keys": [{"id": "recovery:" + "ab" * 32, "pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}],
        "plaintext_snapshots": [{"id": OTHER, "name": "2020-01-01"}, {"id": SNAPSHOT, "name_b64": b64(b"\xff\xfe")}],
        "delete_sealed": "command", "seal_on": "rename", "policy": {"keep_last": 3}, "host": "backup1"},
    "key": {
        "type": "key", "format": 1, "generation": 2, "volume": VOLUME, "snapshot": SNAPSHOT, "dek": DEK,
        "created": "2026-11-24T03:04:05Z", "commitment": b64(bytes(32)),
        "slots": [slot(), slot("recovery", 2, provider="recovery", key_id="recovery:" + "ab" * 32)]},
    "identity": {
        "type": "identity", "format": 1, "volume": VOLUME, "snapshot": SNAPSHOT, "kind": "snapshot",
        "created": "2026-11-24T03:04:05Z", "dek": DEK},
    "seal": {
        "type": "seal", "format": 1, "sequence": 2, "volume": VOLUME, "snapshot": SNAPSHOT, "name": "2026-11-24",
        "created": "2026-11-24T03:04:05Z", "sealed": "2026-11-24T04:04:05Z",
        "manifest": {"object": b64(bytes(16)), "content": b64(bytes(24)), "size": 1000, "sha256": b64(bytes(32))},
        "dek": DEK, "deks": [DEK, OTHER],
        "counts": {"files": 1, "directories": 2, "symlinks": 3, "special": 4, "bytes": 5, "blocks": 6},
        "roots": {"remembered": 7, "reread": 8}, "previous": b64(bytes(32))},
    "tombstone": {
        "type": "tombstone", "format": 1, "sequence": 3, "volume": VOLUME, "snapshot": SNAPSHOT,
        "name": "2026-11-24", "deleted": "2027-11-24T03:04:05Z", "reason": "prune", "seal": 2,
        "shredded": [DEK], "previous": b64(bytes(32))},
}
STREAM = {"type": "identity", "format": 1, "volume": VOLUME, "snapshot": SNAPSHOT, "kind": "stream",
          "created": "2026-11-24T03:04:05Z", "period_s": 86400}
PLAIN = {"type": "identity", "format": 1, "volume": VOLUME, "snapshot": SNAPSHOT, "kind": "snapshot",
         "created": "2026-11-24T03:04:05Z", "encryption": "off"}


def encode(codec, members):
    text = dump(members)
    if codec in LABELS and "dek" in members and "mac" not in members:
        return with_mac(text, LABELS[codec])
    return text.encode()


def write(codec, fault, expect, data):
    head = {"name": fault, "codec": codec, "expect": expect, "volume": VOLUME, "dek": DEK, "key": KEY.hex()}
    path = os.path.join(HERE, "records", f"{codec}-{fault}.vec")
    with open(path, "w", encoding="ascii") as stream:
        stream.writelines(f"{name}: {value}\n" for name, value in head.items())
        stream.write("\n")
        text = data.hex()
        stream.writelines(text[i:i + 96] + "\n" for i in range(0, len(text), 96))


def changed(codec, base=None, **changes):
    """The members with some set to another value, or (None) left out."""
    members = copy.deepcopy(base or BASE[codec])
    members.update(changes)
    return {name: value for name, value in members.items() if value is not None}


def case(codec, fault, expect, base=None, **changes):
    write(codec, fault, expect, sign(encode(codec, changed(codec, base, **changes))))


def every_codec(codec):
    line = encode(codec, BASE[codec])
    good = sign(line)
    case(codec, "good", "ok")
    case(codec, "unknown-member", "ok", base={**BASE[codec], "later": 1})
    case(codec, "critical-known", "ok", base={**BASE[codec], "critical": ["volume"]})
    case(codec, "critical-unknown", "newer", base={**BASE[codec], "critical": ["later"], "later": 1})
    case(codec, "critical-no-list", "malformed", base={**BASE[codec], "critical": "later"})
    case(codec, "format-2", "newer", format=2)
    case(codec, "format-text", "malformed", format="1")
    case(codec, "format-missing", "malformed", format=None)
    case(codec, "another-type", "malformed", type="volume" if codec != "volume" else "key")
    case(codec, "volume-missing", "malformed", volume=None)
    case(codec, "volume-upper-case", "malformed", volume=VOLUME.upper())
    case(codec, "volume-number", "malformed", volume=1)
    write(codec, "signature-of-another-line", "bad-signature", good.replace(b'"format":1', b'"format":2', 1))
    write(codec, "one-line", "malformed", line + b"\n")
    write(codec, "without-last-newline", "malformed", good[:-1])
    write(codec, "three-lines", "malformed", good + b"{}\n")
    write(codec, "cut", "malformed", good[:len(good) // 2])
    write(codec, "empty", "malformed", b"")
    write(codec, "not-json", "malformed", sign(b"volume"))
    write(codec, "an-array", "malformed", sign(b"[]"))
    write(codec, "comment", "malformed", sign(b"/* */" + line))
    write(codec, "trailing-text", "malformed", sign(line + b" x"))
    write(codec, "not-utf-8", "malformed", sign(line.replace(b'"type"', b'"x":"\xff","type"', 1)))
    write(codec, "nul", "malformed", sign(line.replace(b'"type"', b'"x":"\x00","type"', 1)))
    write(codec, "member-twice", "malformed", sign(line.replace(b'"type"', b'"format":1,"type"', 1)))
    if codec in LABELS:
        write(codec, "mac-of-another-line", "bad-mac",
              sign(line.replace(b'"created":"2026', b'"created":"2025', 1)))
        write(codec, "mac-missing", "malformed", sign(dump(BASE[codec]).encode()))
        write(codec, "mac-not-last", "malformed", sign(dump({**BASE[codec], "mac": b64(bytes(32)), "x": 1}).encode()))


def volumes():
    case("volume", "unencrypted", "ok", encryption="off", default_key=None, default_key_id=None)
    case("volume", "no-key", "malformed", default_key=None, default_key_id=None)
    case("volume", "empty-key", "malformed", default_key="")
    case("volume", "generation-0", "malformed", generation=0)
    case("volume", "generation-over-2-53", "malformed", generation=2**53 + 1)
    case("volume", "generation-fraction", "malformed", generation=1.5)
    case("volume", "generation-negative", "malformed", generation=-1)
    case("volume", "block-size-2048", "malformed", block_size=2048)
    case("volume", "block-size-no-power", "malformed", block_size=65535)
    case("volume", "block-size-2-mib", "malformed", block_size=2 << 20)
    case("volume", "algorithm-3", "newer", algorithm=3)
    case("volume", "algorithm-0", "malformed", algorithm=0)
    case("volume", "names-other", "malformed", names="hashed")
    case("volume", "depth-0", "malformed", snapshot_depth=0)
    case("volume", "depth-9", "malformed", snapshot_depth=9)
    case("volume", "created-local-time", "malformed", created="2026-11-24T03:04:05+01:00")
    case("volume", "policy-text", "malformed", policy="keep")
    case("volume", "recovery-keys-16", "malformed", recovery_keys=[{"id": f"recovery:{i}", "pem": "x"} for i in range(16)])
    case("volume", "plaintext-without-name", "malformed", plaintext_snapshots=[{"id": OTHER}])
    case("volume", "plaintext-name-with-nul", "malformed", plaintext_snapshots=[{"id": OTHER, "name": "a\0b"}])
    case("volume", "plaintext-name-b64-padded", "malformed", plaintext_snapshots=[{"id": OTHER, "name_b64": "YQ=="}])
    case("volume", "key-too-long", "malformed", default_key="k" * 512)


def keys():
    case("key", "stream", "ok", base={**{k: v for k, v in BASE["key"].items() if k not in ("commitment", "slots")},
                                      "period_start": "2026-11-24T00:00:00Z", "commitment": b64(bytes(32)),
                                      "slots": [slot()]})
    case("key", "alias", "ok", slots=[slot(key_alias="keyring:///x#default")])
    case("key", "no-slots", "malformed", slots=[])
    case("key", "two-primaries", "malformed", slots=[slot(), slot(number=2)])
    case("key", "no-primary", "malformed", slots=[slot("alternate")])
    case("key", "slot-twice", "malformed", slots=[slot(), slot("alternate")])
    case("key", "17-slots", "malformed",
         slots=[slot()] + [slot("alternate", slot=str(uuid.UUID(int=i + 1))) for i in range(16)])
    case("key", "slot-of-another-volume", "malformed", slots=[slot(volume=OTHER)])
    case("key", "slot-of-another-snapshot", "malformed", slots=[slot(snapshot=OTHER)])
    case("key", "slot-of-another-dek", "malformed", slots=[slot(dek=OTHER)])
    case("key", "slot-role-other", "malformed", slots=[slot("secondary")])
    case("key", "slot-format-2", "newer", slots=[slot(format=2)])
    case("key", "slot-critical", "newer", slots=[slot(critical=["later"])])
    case("key", "slot-without-provider", "malformed", slots=[slot(provider=None)])
    case("key", "slot-empty-key-id", "malformed", slots=[slot(key_id="")])
    case("key", "slot-wrapped-empty", "malformed", slots=[slot(wrapped="")])
    case("key", "slot-wrapped-too-long", "malformed", slots=[slot(wrapped=b64(bytes(8193)))])
    case("key", "slot-wrapped-8192", "ok", slots=[slot(wrapped=b64(bytes(8192)))])
    case("key", "slot-parameter-number", "malformed", slots=[slot(parameters={"a": 1})])
    case("key", "slot-17-parameters", "malformed", slots=[slot(parameters={f"p{i}": "" for i in range(17)})])
    case("key", "capsule-47-bytes", "malformed", slots=[{**slot(), "capsule": b64(bytes(47))}])
    case("key", "header-no-json", "malformed", slots=[{**slot(), "header": "x"}])
    case("key", "commitment-31-bytes", "malformed", commitment=b64(bytes(31)))
    case("key", "commitment-set-bits", "malformed", commitment="A" * 42 + "B")


def identities():
    case("identity", "stream", "ok", base=STREAM)
    case("identity", "root", "ok", base=STREAM, kind="root")
    case("identity", "plaintext", "ok", base=PLAIN)
    case("identity", "plaintext-with-dek", "malformed", base={**PLAIN, "dek": DEK})
    case("identity", "stream-with-dek", "malformed", base={**STREAM, "dek": DEK})
    case("identity", "stream-without-period", "malformed", base=STREAM, period_s=None)
    case("identity", "stream-period-0", "malformed", base=STREAM, period_s=0)
    case("identity", "snapshot-with-period", "malformed", base={**BASE["identity"], "period_s": 1})
    case("identity", "snapshot-without-dek", "malformed", dek=None)
    case("identity", "kind-other", "malformed", kind="backup")
    case("identity", "encryption-other", "malformed", base=PLAIN, encryption="maybe")


def chain():
    case("seal", "first", "ok", sequence=1, previous=None)
    case("seal", "first-with-previous", "malformed", sequence=1)
    case("seal", "without-previous", "malformed", previous=None)
    case("seal", "sequence-0", "malformed", sequence=0)
    case("seal", "name-not-utf-8", "ok", base={("name_b64" if k == "name" else k): (b64(b"\xff") if k == "name" else v)
                                               for k, v in BASE["seal"].items()})
    case("seal", "manifest-missing", "malformed", manifest=None)
    case("seal", "manifest-hash-short", "malformed", manifest={**BASE["seal"]["manifest"], "sha256": b64(bytes(31))})
    case("seal", "counts-negative", "malformed", counts={**BASE["seal"]["counts"], "files": -1})
    case("seal", "dek-no-uuid", "malformed", deks=[DEK, "x"])
    case("tombstone", "of-open-snapshot", "ok", seal=None)
    case("tombstone", "seal-after-itself", "malformed", seal=4)
    case("tombstone", "without-previous", "malformed", previous=None)
    case("tombstone", "reason-missing", "malformed", reason=None)


def main():
    os.makedirs(os.path.join(HERE, "records"), exist_ok=True)
    for codec in BASE:
        every_codec(codec)
    volumes()
    keys()
    identities()
    chain()


if __name__ == "__main__":
    main()
