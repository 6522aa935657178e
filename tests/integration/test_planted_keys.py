# SPDX-License-Identifier: Apache-2.0
"""Key records that an attacker plants, wrapped with the real public key of the service.

Whoever writes the backing directory may call Encrypt, or knows the public key; nothing is written under what they made.
Against our own fake of Azure.
"""

import base64
import errno
import json
import os
import secrets
import shutil
import uuid

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from decoder.keys import Dek, hkdf_expand, hkdf_extract
from services import azure
from snapcrypt import Sandbox

SECRET = b"what the operator backs up" * 50


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(members):
    return json.dumps(members, separators=(",", ":"))


class Attacker:
    """A writer key and a data key of their own."""

    def __init__(self, sandbox):
        sandbox.init()
        self.key = load_pem_private_key((sandbox.state / "writer.key").read_bytes(), None)
        self.dek = secrets.token_bytes(32)

    def sign(self, line):
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        signature = self.key.sign(b"snapcrypt/1/record\n" + line.encode())
        return f"{line}\n{compact({'key': base64url(public), 'signature': base64url(signature)})}\n"

    def slot(self, header, public_key):
        """The attacker's data key, wrapped as the service would: anybody can do that with a public key."""
        secret = secrets.token_bytes(32)
        context = uuid.UUID(header["volume"]).bytes + uuid.UUID(header["snapshot"]).bytes
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        wrapped = b"\x01" + public_key.encrypt(secret + context, oaep)
        text = compact({**header, "slot": str(uuid.uuid4()), "wrapped": base64url(wrapped)})
        material = hkdf_expand(hkdf_extract(b"", secret), text.encode(), 44)
        return {"header": text, "capsule": base64url(AESGCM(material[:32]).encrypt(material[32:], self.dek, b""))}

    def seal(self, members, label):
        """A record with the MAC of the attacker's data key and their signature."""
        dek = Dek(uuid.UUID(members["volume"]), uuid.UUID(members["dek"]), self.dek)
        members = {name: value for name, value in members.items() if name != "mac"}
        if "commitment" in members:
            members["commitment"] = base64url(dek.subkey("commitment"))
        covered = compact(members)[:-1]
        mac = base64url(dek.mac(label, covered.encode()))
        return self.sign(covered + f',"mac":"{mac}"}}')

    def take_over(self, record, public_key, generation, **changed):
        """The text of a key record for the same data key id and snapshot, that opens to the attacker's data key."""
        members = json.loads(record.read_text().splitlines()[0])
        header = {**json.loads(members["slots"][0]["header"]), **changed}
        return self.seal({**members, "generation": generation, "slots": [self.slot(header, public_key)]}, "slots")


@pytest.fixture
def attacker(binary):
    other = Sandbox(binary)
    yield Attacker(other)
    assert other.close() == []


@pytest.fixture
def service(authority, tmp_path):
    with azure(authority, tmp_path) as made:
        yield made


@pytest.fixture
def volume(sandbox, service):
    sandbox.configure(service.section())
    sandbox.allow("trust|origin|sign|key|authentic|record|identity|foreign")
    volume = sandbox.init("--key", service.uri)
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"before")
    return volume


def record_of(volume, name):
    """The key record of a snapshot."""
    dek = json.loads((volume.backing / name / ".snapcrypt-id").read_text().splitlines()[0])["dek"]
    return volume.control / "keys" / dek / "1"


def outcomes(mount):
    """What writing anything into the snapshot comes to."""
    top, said = mount.path / "s", set()
    for path, flags in ((top / "file", os.O_WRONLY), (top / "file", os.O_WRONLY | os.O_TRUNC),
                        (top / "new", os.O_WRONLY | os.O_CREAT)):
        try:
            with open(os.open(path, flags, 0o600), "wb", buffering=0) as file:
                file.write(SECRET)
            said.add("written")
        except OSError as refusal:
            said.add(errno.errorcode[refusal.errno])
    for change in (lambda: (top / "directory").mkdir(), lambda: (top / "link").symlink_to("x")):
        try:
            change()
            said.add("written")
        except OSError as refusal:
            said.add(errno.errorcode[refusal.errno])
    return said


def test_a_data_key_wrapped_with_the_real_public_key(sandbox, service, volume, attacker):
    public = service.fake.keys["k1"][-1].key.public_key()
    record = record_of(volume, "s")
    planted = record.with_name("2")

    # Beside ours: a signature that is trusted counts more than a generation.
    planted.write_text(attacker.take_over(record, public, 2))
    with volume.mount() as mount:
        assert (mount.path / "s" / "file").read_bytes() == b"before"
    # In its place, and the identity with it, so that it fits in everything that the attacker can make.
    record.unlink()
    identity = volume.backing / "s" / ".snapcrypt-id"
    members = json.loads(identity.read_text().splitlines()[0])
    identity.unlink()
    identity.write_text(attacker.seal(members, "identity"))
    before = {path: path.read_bytes() for path in volume.files() if path.parent.name == "s"}
    with volume.mount() as mount:
        assert "written" not in outcomes(mount)
        log = mount.log()
    assert f"keys/{record.parent.name}" in log, log
    # Not even on a host that has never seen the data key.
    for directory in (sandbox.state / "volumes").iterdir():
        shutil.rmtree(directory / "deks")
    asked = service.fake.count("unwrapkey")
    with volume.mount() as mount:
        said = outcomes(mount)
        log = mount.log()
    assert "written" not in said
    assert f"keys/{record.parent.name}" in log, log
    assert {path: path.read_bytes() for path in volume.files() if path.parent.name == "s"} == before
    assert not service.fake.complaints and service.fake.count("unwrapkey") >= asked
