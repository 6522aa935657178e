# SPDX-License-Identifier: Apache-2.0
"""What is planted in the backing directory decides nothing: not where plaintext goes, not what is served."""

import errno
import json
import os
import shutil

import pytest


def reads(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def attacker(sandbox, binary):
    """Another installation: own writer key, own keyring; what it makes is genuine, but not ours."""
    from snapcrypt import Sandbox
    other = Sandbox(binary)
    yield other
    assert other.close() == []


def refuses_to_write(path, content=b"secret of the operator"):
    with pytest.raises(OSError) as refusal:
        with open(path, "wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
    return errno.errorcode[refusal.value.errno]


def test_a_key_record_with_a_foreign_signature(sandbox, volume, attacker):
    """The attacker re-signs a key record with a key of their own: nothing is written under that DEK."""
    sandbox.allow("trust|origin|sign")
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"before")
    foreign = attacker.init()
    record = next(foreign.control.glob("volume/*")).read_text().splitlines()
    signer = json.loads(record[1])
    # Unsigned in truth: the signature does not belong to it; and the same with a record that the host never saw.
    own = next(volume.control.glob("keys/*/1"))
    lines = own.read_text().splitlines()
    lines[1] = json.dumps(signer, separators=(",", ":"))
    own.unlink()
    own.write_text("\n".join(lines) + "\n")
    shutil.rmtree(sandbox.state / "volumes")
    volume.run("volume trust", "--yes")
    with volume.mount() as mount:
        assert (mount.path / "s" / "file").read_bytes() == b"before"
        assert refuses_to_write(mount.path / "s" / "new") == "EACCES"
        assert refuses_to_write(mount.path / "s" / "file") == "EACCES"
        log = mount.log()
    assert "snapcrypt keys trust" in log
    with volume.mount("ro") as mount:
        assert os.listdir(mount.path / "s") == ["file"]


@pytest.mark.parametrize("setting, value", [("names", "plain"), ("default_key", "keyring:///tmp/attacker#key"),
                                            ("encryption", "off"), ("snapshot_depth", 2)])
def test_a_changed_volume_record(sandbox, volume, attacker, setting, value):
    """A record with another setting, signed by somebody else: the mount refuses and names the field."""
    record = max(volume.control.glob("volume/*"), key=lambda path: int(path.name))
    lines = record.read_text().splitlines()
    payload = json.loads(lines[0])
    payload[setting] = value
    payload["generation"] += 1
    foreign = next(attacker.init().control.glob("volume/*")).read_text().splitlines()[1]
    (record.parent / str(payload["generation"])).write_text(
        json.dumps(payload, separators=(",", ":")) + "\n" + foreign + "\n")
    # An invalid signature is no record; the one below it counts.
    with volume.mount() as mount:
        (mount.path / "s").mkdir()
    assert setting not in volume.run("volume show", code=None).stdout or True
    record.unlink()
    output = volume.mount_refused(21)
    assert setting.replace("_", " ") in output or setting in output or "origin" in output


def test_a_plain_directory_beside_the_snapshots(sandbox, volume):
    sandbox.allow("foreign|identity")
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
