# SPDX-License-Identifier: Apache-2.0
"""Volumes under keys of AWS, Azure, Google Cloud and Vault, end to end, against our own fakes of those services."""

import json
import os

import pytest

from fakes.fake_azure import SECRET
from fakes.fake_gcp import KEY
from fakes.fake_vault import SECRET_ID
from services import aws, azure, gcp, vault
from snapcrypt import wait_for


@pytest.fixture(params=[aws, azure, gcp, vault], ids=lambda service: service.__name__)
def service(request, authority, tmp_path):
    with request.param(authority, tmp_path) as made:
        yield made
    assert not made.fake.complaints, made.fake.complaints


def read_tree(top):
    """Content of every file; restore mounts follow no symlinks."""
    return {path.relative_to(top): path.read_bytes() for path in top.rglob("*")
            if path.is_file() and not path.is_symlink()}


def write_tree(top):
    top.mkdir()
    (top / "sub").mkdir()
    for name, size in (("empty", 0), ("small", 100), ("sub/large", 300_000)):
        (top / name).write_bytes(os.urandom(size))
    (top / "link").symlink_to("sub/large")
    return read_tree(top)


def check_old_versions(volume, service):
    """What is under an older version than the service's present one is shown as such."""
    if service.rotate is None:
        return
    rows = {key["key_id"]: key for key in volume.json("keys list", "--live")["keys"]}
    assert not any(row["rewrap_recommended"] for row in rows.values())
    service.rotate()
    rows = {key["key_id"]: key for key in volume.json("keys list", "--live")["keys"] if key["provider"] != "keyring"}
    old = rows.pop(service.key_id)
    assert old["rewrap_recommended"] and old["snapshots"] == 1 and old["version"], old
    (new,) = rows.values()
    assert not new["rewrap_recommended"] and new["snapshots"] == 0 and new["state"] == "enabled" and new["created"], new
    table = volume.run("keys list", "--live").stdout.splitlines()
    for title in ("PROVIDER", "STATE", "VERSION", "AGE", "NEXT ROTATION", "DELETION", "SNAPSHOTS", "ENCRYPTION KEY ID"):
        assert title in table[0]
    assert [service.key_id in line for line in table if "rewrap recommended" in line] == [True]
    assert any(" 0 min " in line and new["key_id"] in line for line in table), table
    with volume.mount("ro", "key_poll=1") as mount:
        wait_for(lambda: volume.sandbox.json("status", mount.path)["volumes"][0]["keys"][0]["rewrap_recommended"],
                 "the mount says so, too")


def test_back_up_and_read_in_a_fresh_process(sandbox, service):
    sandbox.configure(service.section())
    volume = sandbox.init("--key", service.uri)
    mount = volume.mount()
    tree = write_tree(mount.path / "2026-11-24")
    mount.umount()

    row = volume.json("snapshot list")["snapshots"][0]
    assert service.key_id in str(row), row

    before = service.fake.count(service.unwraps)
    mount = volume.mount("ro")
    top = mount.path / "2026-11-24"
    assert read_tree(top) == tree and len(tree) == 3
    assert os.readlink(top / "link") == "sub/large"
    mount.umount()
    assert 1 <= service.fake.count(service.unwraps) - before <= 4
    stored = b"".join(path.read_bytes() for path in volume.backing.rglob("*") if path.is_file())
    check_old_versions(volume, service)
    for secret in (SECRET, SECRET_ID, *getattr(service.fake, "tokens", ())):
        assert secret.encode() not in stored


def test_a_disabled_key_refuses_the_mount_and_comes_back(sandbox, service):
    sandbox.configure(service.section())
    volume = sandbox.init("--key", service.uri)
    mount = volume.mount()
    tree = write_tree(mount.path / "2026-11-24")
    mount.umount()

    service.disable()
    assert service.key_id.split("#")[0] in volume.mount_refused(12, "ro", "snapshot=2026-11-24")
    service.enable()
    mount = volume.mount("ro", "snapshot=2026-11-24")
    assert sorted(read_tree(mount.path).values()) == sorted(tree.values())
    mount.umount()


@pytest.mark.parametrize("uri, makes, opens", [
    ("awskms:///alias/k1?region=eu-west-1", "kms:GenerateDataKey", "kms:Decrypt"),
    ("azurekv://v/keys/k1", "vaults/keys/wrap/action", "vaults/keys/unwrap/action"),
    ("azurekv://h.managedhsm.azure.net/keys/k1?alg=A256KW", "managedHsm/keys/wrap/action",
     "managedHsm/keys/unwrap/action"),
    (f"gcpkms://{KEY}", "useToEncrypt", "useToDecrypt"),
    ("vault://h:8200/transit/k1", "transit/encrypt/k1", "transit/decrypt/k1")])
def test_printed_policies_fit_the_role_of_the_host(sandbox, uri, makes, opens):
    text = sandbox.run("keys", "test", uri, "--print-policy").stdout
    assert makes in text and opens in text
    if uri.startswith(("azurekv", "awskms")):
        assert json.loads(text)
    text = sandbox.run("keys", "test", uri, "--print-policy", "--role", "restore-only").stdout
    assert opens in text and makes not in text.replace(opens, "")
    sandbox.run("keys", "test", uri, "--print-policy", "--role", "admin", code=2)
    sandbox.configure("[global]\nrole = write-only\n")
    text = sandbox.run("keys", "test", uri, "--print-policy").stdout
    assert makes in text and opens not in text and "create" not in text
