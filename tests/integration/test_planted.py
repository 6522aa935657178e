# SPDX-License-Identifier: Apache-2.0
"""What is planted in the backing directory decides nothing: not where plaintext goes, not what is served."""

import base64
import errno
import json
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from snapcrypt import Sandbox


def reads(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def attacker(sandbox, binary):
    """Another installation: own writer key, own keyring; what it makes is genuine, but not ours."""
    other = Sandbox(binary)
    yield other
    assert other.close() == []


def refuses_to_write(path, content=b"secret of the operator"):
    with pytest.raises(OSError) as refusal:
        with open(path, "wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
    return errno.errorcode[refusal.value.errno]


def sign(attacker, line):
    """A whole record: LINE, signed by the attacker's own writer key, as FORMAT.md section 9 says."""
    key = load_pem_private_key((attacker.state / "writer.key").read_bytes(), None)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = key.sign(b"snapcrypt/1/record\n" + line.encode())
    second = {"key": base64url(public), "signature": base64url(signature)}
    return line + "\n" + json.dumps(second, separators=(",", ":")) + "\n"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def resign(attacker, path):
    """The record at PATH with the attacker's signature in place of ours."""
    line = path.read_text().splitlines()[0]
    path.unlink()
    path.write_text(sign(attacker, line))


def test_a_key_record_with_a_foreign_signature(sandbox, volume, attacker):
    """On a host that has not pinned the DEK, a record signed by an unknown writer opens, but nothing is written under it."""
    sandbox.allow("trust|origin|sign")
    attacker.init()
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"before")
    for record in volume.control.glob("keys/*/1"):
        resign(attacker, record)
    shutil.rmtree(next((sandbox.state / "volumes").iterdir()) / "deks")
    with volume.mount() as mount:
        assert (mount.path / "s" / "file").read_bytes() == b"before"
        assert refuses_to_write(mount.path / "s" / "new") == "EACCES"
        assert refuses_to_write(mount.path / "s" / "file") == "EACCES"
        assert "snapcrypt keys trust" in mount.log()
    with volume.mount("ro") as mount:
        assert os.listdir(mount.path / "s") == ["file"]
    volume.run("keys trust", "s", "--yes")
    with volume.mount() as mount:
        (mount.path / "s" / "file").write_bytes(b"after")


@pytest.mark.parametrize("setting, value", [("names", "plain"), ("default_key", "keyring:///tmp/attacker#key"),
                                            ("encryption", "off"), ("snapshot_depth", 2), ("block_size", 4096)])
def test_a_changed_volume_record(sandbox, volume, attacker, setting, value):
    """A younger record with another setting and a valid foreign signature, alone or beside ours: our own decides."""
    attacker.init()
    sandbox.allow("origin|sign|trust|record")
    record = max(volume.control.glob("volume/*"), key=lambda path: int(path.name))
    payload = json.loads(record.read_text().splitlines()[0])
    payload[setting] = value
    payload["generation"] += 1
    planted = record.parent / str(payload["generation"])
    planted.write_text(sign(attacker, json.dumps(payload, separators=(",", ":"))))
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"x" * 20)
    assert all(b"x" * 20 not in path.read_bytes() for path in volume.files())
    record.unlink()
    before = sorted(volume.files())
    output = volume.mount_refused(21)
    assert setting in output or setting.replace("_", " ") in output, output
    assert sorted(volume.files()) == before


def test_a_replaced_recovery_key(sandbox, attacker):
    """The recovery key of new data keys is the pinned one, not one found in the volume record."""
    for place, name in ((sandbox, "ours"), (attacker, "theirs")):
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out",
                        str(place.root / f"{name}.key")], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", str(place.root / f"{name}.key"), "-pubout", "-out",
                        str(place.root / f"{name}.pem")], check=True, capture_output=True)
    sandbox.allow("origin|sign|trust|record")
    volume = sandbox.init("--recovery-key", sandbox.root / "ours.pem")
    theirs = attacker.init("--recovery-key", attacker.root / "theirs.pem")
    foreign = json.loads(next(theirs.control.glob("volume/*")).read_text().splitlines()[0])
    record = next(volume.control.glob("volume/*"))
    payload = json.loads(record.read_text().splitlines()[0])
    payload["recovery_keys"], payload["generation"] = foreign["recovery_keys"], 2
    record.unlink()
    (record.parent / "2").write_text(sign(attacker, json.dumps(payload, separators=(",", ":"))))
    assert "recovery" in volume.mount_refused(21)
    (record.parent / "2").unlink()
    record.write_text("torn")
    volume.mount_refused(14)


def test_a_plain_directory_beside_the_snapshots(sandbox, volume):
    sandbox.allow("foreign|identity|planted")
    (volume.backing / "planted").mkdir()
    (volume.backing / "planted" / "file").write_bytes(b"planted plaintext")
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        assert refuses_to_write(mount.path / "planted" / "new") in ("EACCES", "EIO", "EPERM")
        with pytest.raises(OSError):
            (mount.path / "planted" / "file").read_bytes()
    states = {snapshot["name"]: snapshot["state"] for snapshot in volume.json("snapshot list")["snapshots"]}
    assert states["planted"] == "foreign" and states["s"] == "open"
    assert reads(volume.backing / "planted") == {"file": b"planted plaintext"}


def test_a_plain_file_in_a_snapshot(sandbox):
    """With plain names it has a name; it is EIO all the same, and nothing is written into it."""
    sandbox.allow("header|authentic|file of")
    volume = sandbox.init("--names", "plain")
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
    (volume.backing / "s" / "planted").write_bytes(b"planted plaintext" * 100)
    with volume.mount() as mount:
        with pytest.raises(OSError) as refusal:
            (mount.path / "s" / "planted").read_bytes()
        assert refusal.value.errno == errno.EIO
        with pytest.raises(OSError) as refusal:
            with open(mount.path / "s" / "planted", "ab", buffering=0) as file:
                file.write(b"x")
        assert refusal.value.errno == errno.EIO
    assert (volume.backing / "s" / "planted").read_bytes() == b"planted plaintext" * 100


def test_a_duplicated_snapshot_is_read_only(sandbox, volume):
    sandbox.allow("duplicate")
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"x")
    shutil.copytree(volume.backing / "s", volume.backing / "t")
    with volume.mount() as mount:
        assert (mount.path / "s" / "file").read_bytes() == b"x"
        assert {refuses_to_write(mount.path / name / "new") for name in ("s", "t")} == {"EROFS"}
    states = {snapshot["name"]: snapshot["state"] for snapshot in volume.json("snapshot list")["snapshots"]}
    assert states["s"] == states["t"] == "duplicate"
