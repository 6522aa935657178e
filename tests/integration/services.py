# SPDX-License-Identifier: Apache-2.0
"""Our own fakes of key services, as a volume uses them: a [key] section that leads to one key, and its switches.

    with aws(authority, directory) as service:
        sandbox.configure(service.section())
        volume = sandbox.init("--key", service.uri)
        service.disable()
"""

import contextlib

from fakes.fake_aws import FakeAws
from fakes.fake_azure import CLIENT, SECRET, TENANT, VAULT, FakeAzure
from fakes.fake_gcp import KEY, FakeGcp
from fakes.fake_vault import ROLE_ID, SECRET_ID, FakeVault
from fakes.pki import write_secret


class Service:
    """A fake, the [key] section that leads to it, and its switches."""

    def __init__(self, fake, uri, settings, key_id, disable, enable, unwraps,
                 rotate=None):
        self.fake, self.uri, self.settings = fake, uri, settings
        self.key_id, self.disable, self.enable, self.unwraps = key_id, disable, enable, unwraps
        self.rotate = rotate    # None: ids have no version

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
            kid, lambda: fake.disable("k1"), lambda: fake.disable("k1", enabled=True), "unwrapkey",
            lambda: fake.rotate("k1"))


@contextlib.contextmanager
def gcp(authority, directory):
    with FakeGcp(authority) as fake:
        yield Service(fake, f"gcpkms://{KEY}", {
            "endpoint": fake.url, "ca_file": fake.ca_file,
            "credentials_file": fake.account_file(directory / "account.json")},
            fake.version_name(), lambda: fake.set_state("DISABLED"), lambda: fake.set_state("ENABLED"), "decrypt",
            fake.rotate)


@contextlib.contextmanager
def vault(authority, directory):
    with FakeVault(authority) as fake:
        yield Service(fake, f"vault://{fake.host}/transit/k1", {
            "ca_file": fake.ca_file, "role_id": ROLE_ID,
            "secret_id_file": write_secret(directory / "secret-id", SECRET_ID)},
            f"vault:{fake.host}/transit/k1#1",
            lambda: fake.keys["transit/k1"].update(soft_deleted=True),
            lambda: fake.keys["transit/k1"].update(soft_deleted=False), "decrypt",
            fake.rotate)
