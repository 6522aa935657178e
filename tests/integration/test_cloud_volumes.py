# SPDX-License-Identifier: Apache-2.0
"""Volumes under keys of AWS, Azure, Google Cloud and Vault, end to end, against our own fakes of those services."""

import contextlib
import json
import os

import pytest

from fakes.fake_aws import FakeAws
from fakes.fake_azure import CLIENT, SECRET, TENANT, VAULT, FakeAzure
from fakes.fake_gcp import KEY, FakeGcp
from fakes.fake_vault import ROLE_ID, SECRET_ID, FakeVault
from fakes.pki import write_secret


class Service:
    """A fake, the [key] section that leads to it, and its switches."""

    def __init__(self, fake, uri, settings, key_id, disable, enable, unwraps):
        self.fake, self.uri, self.settings = fake, uri, settings
        self.key_id, self.disable, self.enable, self.unwraps = key_id, disable, enable, unwraps

    def section(self):
        lines = [f"{name} = {value}" for name, value in {"uri": self.uri, **self.settings}.items()]
        return "\n".join(['[key "customer"]', *lines, ""])


@contextlib.contextmanager
def aws(authority, directory):
    with FakeAws(authority) as fake:
        key, user, role = fake.add_key("backup"), fake.add_user(), fake.add_role("backup", external_id="x-1")
        yield Service(fake, f"awskms:///{key.arn}", {
            "endpoint": fake.url, "sts_endpoint": fake.url, "ca_file": fake.ca_file,
            "access_key_id": user.access_key_id, "role_arn": role.arn, "external_id": "x-1",
            "secret_access_key_file": write_secret(directory / "aws-secret", user.secret)},
            key.arn, lambda: setattr(key, "state", "Disabled"), lambda: setattr(key, "state", "Enabled"), "Decrypt")


@contextlib.contextmanager
def azure(authority, directory):
    with FakeAzure(authority) as fake:
        kid = fake.add_key("k1")
        yield Service(fake, f"azurekv://{VAULT}/keys/k1", {
            "endpoint": fake.url, "ca_file": fake.ca_file, "authority_host": fake.url, "tenant_id": TENANT,
            "client_id": CLIENT, "client_secret_file": write_secret(directory / "secret", SECRET)},
            kid, lambda: fake.disable("k1"), lambda: fake.disable("k1", enabled=True), "unwrapkey")


@contextlib.contextmanager
def gcp(authority, directory):
    with FakeGcp(authority) as fake:
        yield Service(fake, f"gcpkms://{KEY}", {
            "endpoint": fake.url, "ca_file": fake.ca_file,
            "credentials_file": fake.account_file(directory / "account.json")},
            fake.version_name(), lambda: fake.set_state("DISABLED"), lambda: fake.set_state("ENABLED"), "decrypt")


@contextlib.contextmanager
def vault(authority, directory):
    with FakeVault(authority) as fake:
        yield Service(fake, f"vault://{fake.host}/transit/k1", {
            "ca_file": fake.ca_file, "role_id": ROLE_ID,
            "secret_id_file": write_secret(directory / "secret-id", SECRET_ID)},
            f"vault:{fake.host}/transit/k1#1",
            lambda: fake.keys["transit/k1"].update(soft_deleted=True),
            lambda: fake.keys["transit/k1"].update(soft_deleted=False), "decrypt")


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
    sandbox.configure("[global]\nrole = write-only\n")
    text = sandbox.run("keys", "test", uri, "--print-policy").stdout
    assert makes in text and opens not in text and "create" not in text
