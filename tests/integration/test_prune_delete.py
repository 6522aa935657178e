# SPDX-License-Identifier: Apache-2.0
"""Deleting snapshots: what refuses, what goes, and what an interruption leaves."""

import os
import signal
import subprocess
import time

import pytest

from schema import check


def key_records(volume):
    return {path.name for path in volume.control.glob("keys/*")}


def markers(volume):
    return {(path.parent.parent.name, path.name) for path in volume.control.glob("keys/*/needed-by/*")}


def identifier(volume, name):
    return volume.json("snapshot show", name)["snapshots"][0]["id"]


def fill(mount, name, linked_from=None):
    (mount.path / name / "sub").mkdir(parents=True)
    (mount.path / name / "file").write_bytes(name.encode() * 1000)
    (mount.path / name / "sub" / "deep").write_bytes(b"deep")
    if linked_from:
        os.link(mount.path / linked_from / "file", mount.path / name / "linked")


def make(volume, *names, seal=True):
    with volume.mount() as mount:
        for name in names:
            fill(mount, name)
    if seal and names:
        volume.run("snapshot seal", *names)


@pytest.mark.parametrize("is_mounted", (False, True))
def test_delete_leaves_nothing_but_its_records(volume, is_mounted):
    make(volume, "1", "2")
    ids = {name: identifier(volume, name) for name in ("1", "2")}
    before = key_records(volume)

    def delete():
        output = volume.json("snapshot delete", "1", "--yes")
        check(output)
        assert output["snapshots"][0]["deleted"] and len(output["data_keys"]) == 1

    if is_mounted:
        with volume.mount() as mount:
            assert (mount.path / "1" / "file").read_bytes() == b"1" * 1000
            delete()
            assert os.listdir(mount.path) == ["2"]
            assert (mount.path / "2" / "file").read_bytes() == b"2" * 1000
    else:
        delete()
    assert not (volume.backing / "1").exists()
    assert len(before - key_records(volume)) == 1
    assert not list(volume.control.glob("tmp/*"))
    assert {path.name for path in volume.control.glob("manifests/*")} == {ids["2"]}
    last = max(volume.control.glob("seals/*"), key=lambda path: int(path.name)).read_text()
    assert '"type":"tombstone"' in last and ids["1"] in last
    volume.run("verify")
    volume.run("snapshot delete", "1", "--yes", code=1)


def test_a_key_stays_while_a_link_needs_it(volume):
    with volume.mount() as mount:
        fill(mount, "1")
        fill(mount, "2", linked_from="1")
    volume.run("snapshot seal", "1", "2")
    assert len(markers(volume)) == 1
    before = key_records(volume)
    error = volume.run("snapshot delete", "1", "--shred-key", "--yes", code=5)
    assert "2 has files under it" in error.stderr
    assert (volume.backing / "1").exists()
    assert volume.json("snapshot delete", "1", "--yes")["data_keys"] == []
    assert key_records(volume) == before and len(markers(volume)) == 1
    with volume.mount("ro") as mount:
        assert (mount.path / "2" / "linked").read_bytes() == b"1" * 1000
    output = volume.json("snapshot delete", "2", "--yes")
    assert len(output["data_keys"]) == 2
    assert not markers(volume)


def test_a_link_stays_readable_when_the_other_snapshot_goes_under_a_mount(volume):
    """The mount may know the file by its name in the removed snapshot."""
    with volume.mount() as mount:
        for name in ("1", "2"):
            fill(mount, name, linked_from="1" if name == "2" else None)
        for name in ("1", "2", "3"):
            os.makedirs(mount.path / name, exist_ok=True)
        os.link(mount.path / "1" / "file", mount.path / "3" / "again")
        volume.run("snapshot seal", "1", "2", "3")
        assert os.stat(mount.path / "3" / "again").st_size == 1000
        volume.run("snapshot delete", "3", "--yes")
        assert os.stat(mount.path / "2" / "linked").st_size == 1000
        assert (mount.path / "1" / "file").read_bytes() == b"1" * 1000
        volume.run("snapshot delete", "1", "--yes")
        assert (mount.path / "2" / "linked").read_bytes() == b"1" * 1000


def test_shred_destroys_the_key_first_and_tells_every_mount(volume, sandbox):
    make(volume, "1", "2")
    with volume.mount("ro") as mount:
        assert (mount.path / "1" / "file").read_bytes() == b"1" * 1000
        output = volume.json("snapshot delete", "1", "--shred-key", "--yes", "--reason", "asked to")
        assert len(output["shredded"]) == 1
        assert not (volume.control / "keys" / output["shredded"][0]).exists()
        time.sleep(1.1)
        with pytest.raises(OSError):
            (mount.path / "1" / "sub" / "deep").read_bytes()
        assert (mount.path / "2" / "file").read_bytes() == b"2" * 1000
    last = max(volume.control.glob("seals/*"), key=lambda path: int(path.name)).read_text()
    assert output["shredded"][0] in last and "asked to" in last
    operations = [entry["operation"] for entry in sandbox.json("audit show")["entries"]]
    assert operations.count("delete") == 1 and operations.count("shred") == 1


@pytest.mark.parametrize("is_mounted", (False, True))
def test_holds_and_tags(volume, sandbox, is_mounted):
    make(volume, "1")

    def labels():
        output = check(volume.json("snapshot hold", "1", "--name", "audit", "--reason", "case 4711"))
        assert [hold["name"] for hold in output["snapshots"][0]["holds"]] == ["audit"]
        volume.run("snapshot hold", "1", "--name", "audit", code=1)
        error = volume.run("snapshot delete", "1", "--yes", code=5)
        assert "held: audit, case 4711" in error.stderr
        volume.run("snapshot delete", "1", "--dry-run", code=5)
        volume.run("snapshot tag", "1", "--set", "monthly", "--set", "database=orders")
        volume.run("snapshot tag", "1", "--set", "database=stock")
        tags = check(volume.json("snapshot tag", "1", "--unset", "monthly"))["snapshots"][0]["tags"]
        assert tags == {"database": "stock"}
        shown = check(volume.json("snapshot list", "--tag", "database"))["snapshots"][0]
        assert shown["tags"] == tags and shown["holds"][0]["reason"] == "case 4711"
        assert not volume.json("snapshot list", "--tag", "database=orders")["snapshots"]
        volume.run("snapshot release", "1", "--name", "other", code=1)
        volume.run("snapshot hold", "1", code=2)

    if is_mounted:
        with volume.mount():
            labels()
    else:
        labels()
    # Whoever takes the newest labels away does not end the hold.
    records = sorted(volume.control.glob("labels/*/*"), key=lambda path: int(path.name))
    kept = {path: path.read_bytes() for path in records}
    for path in records:
        path.unlink()
    error = volume.run("snapshot delete", "1", "--yes", code=5)
    assert "cannot be known" in error.stderr
    for path, data in kept.items():
        path.write_bytes(data)
    volume.run("snapshot release", "1", "--name", "audit")
    volume.run("snapshot delete", "1", "--yes")
    assert not list(volume.control.glob("labels/*"))


def test_what_is_refused(volume):
    make(volume, "1")
    volume.run("snapshot delete", "1", code=2)  # nobody to ask
    volume.run("snapshot delete", ".", "--yes", code=2)
    volume.run("snapshot delete", "none", "--yes", code=1)
    (volume.backing / "foreign").mkdir()
    volume.run("snapshot delete", "foreign", "--yes", code=1)
    volume.run("snapshot delete", "1", "--dry-run")
    assert (volume.backing / "1" / ".snapcrypt-id").exists()
    (volume.backing / "foreign").rmdir()
    with volume.mount("ro"):
        volume.run("snapshot delete", "1", "--yes")
    assert not (volume.backing / "1").exists()


def test_deletion_that_is_killed_goes_on(volume, sandbox):
    """Killed after ever more of its system calls; the next one, or prune, brings it to its end."""
    names = [str(number) for number in range(1, 6)]
    make(volume, *names)
    arguments = [str(sandbox.binary), "snapshot", "delete", str(volume.backing), None, "--yes"]
    for number, name in enumerate(names):
        arguments[4] = name
        process = subprocess.Popen(arguments, env=sandbox.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(0.06 * (number + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (volume.backing / name).exists():
            volume.run("snapshot delete", name, "--yes")
    make(volume, "last")
    volume.run("snapshot delete", "last", "--yes")
    assert not [path for path in volume.backing.iterdir() if not path.name.startswith(".snapcrypt")]
    assert not list(volume.control.glob("tmp/removed-*"))
    assert not key_records(volume) and not markers(volume)
    volume.run("verify")
