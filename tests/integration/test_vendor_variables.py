# SPDX-License-Identifier: Apache-2.0
"""The variables of the vendors' own tools are enough, and plain http goes nowhere: against our own fakes.

Sources of credentials one by one are in test_aws.py, test_azure.py, test_gcp.py and test_vault.py.
"""

import contextlib
import select
import socket
import threading

import pytest

from fakes.fake_aws import REGION, FakeAws, FakeMetadata
from fakes.fake_azure import CLIENT, SECRET, TENANT, VAULT, FakeAzure
from fakes.fake_gcp import KEY, FakeGcp
from fakes.fake_vault import FakeVault
from fakes.pki import Authority


@pytest.fixture
def aws(authority):
    with FakeAws(authority) as fake:
        yield fake
    assert not fake.complaints


@pytest.fixture
def environment(sandbox, aws):
    """As an operator exports it; tests add to it."""
    sandbox.environment.update(AWS_ENDPOINT_URL_KMS=aws.url, AWS_ENDPOINT_URL_STS=aws.url,
                               AWS_CA_BUNDLE=str(aws.ca_file), AWS_EC2_METADATA_DISABLED="true")
    return sandbox.environment


def keys_of(identity):
    return {"AWS_ACCESS_KEY_ID": identity.access_key_id, "AWS_SECRET_ACCESS_KEY": identity.secret}


def back_up_and_restore(sandbox, uri):
    """No configuration file names a key: init is told, the rest is remembered here."""
    volume = sandbox.init("--key", uri)
    mount = volume.mount()
    (mount.path / "day").mkdir()
    (mount.path / "day" / "file").write_bytes(b"content")
    mount.umount()
    mount = volume.mount("ro", "snapshot=day")
    assert (mount.path / "file").read_bytes() == b"content"
    mount.umount()


def test_aws_by_profile_role_and_region(sandbox, aws, environment):
    aws.add_key("backup")
    user, role = aws.add_user(), aws.add_role("backup", external_id="e-1")
    home = sandbox.directory("aws")
    (home / "conf").write_text(f"[profile nightly]\nrole_arn = {role.arn}\nsource_profile = base\n"
                               f"external_id = e-1\nregion = {REGION}\n")
    (home / "cred").write_text(f"[base]\naws_access_key_id = {user.access_key_id}\n"
                               f"aws_secret_access_key = {user.secret}\n")
    (home / "cred").chmod(0o600)
    environment.update(AWS_PROFILE="nightly", AWS_CONFIG_FILE=str(home / "conf"),
                       AWS_SHARED_CREDENTIALS_FILE=str(home / "cred"))
    back_up_and_restore(sandbox, "awskms:///alias/backup")
    assert set(aws.signed_as) == {user.principal, role.arn}


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_aws_region_serves_an_alias(sandbox, aws, environment, variable):
    key = aws.add_key("backup", region="us-west-2")
    environment.update({variable: "us-west-2"}, **keys_of(aws.add_user()))
    assert key.arn in sandbox.run("keys", "test", "awskms:///alias/backup").stdout


def test_aws_endpoint_for_all_services(sandbox, aws, environment):
    key = aws.add_key()
    del environment["AWS_ENDPOINT_URL_KMS"], environment["AWS_ENDPOINT_URL_STS"]
    environment.update(AWS_ENDPOINT_URL=aws.url, **keys_of(aws.add_user()))
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    environment["AWS_USE_FIPS_ENDPOINT"] = "true"
    assert "FIPS" in sandbox.run("keys", "test", f"awskms:///{key.arn}", code=None).stderr


def test_aws_web_identity_names_its_session(sandbox, aws, environment):
    key, role = aws.add_key(), aws.add_role("pod", web_identity="header.payload.signature")
    token = sandbox.root / "token"
    token.write_text(role.web_identity)
    environment.update(AWS_ROLE_ARN=role.arn, AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ROLE_SESSION_NAME="night-1")
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    assert any(b"RoleSessionName=night-1" in request.body for request in aws.requests)


def test_aws_container_credentials(sandbox, aws, environment):
    key = aws.add_key()
    with FakeMetadata() as metadata:
        metadata.credentials = aws.add_session("arn:aws:sts::1:assumed-role/task/1")
        metadata.container_token = "Bearer container-token"
        environment.update(AWS_CONTAINER_CREDENTIALS_FULL_URI=metadata.url + "/creds",
                           AWS_CONTAINER_AUTHORIZATION_TOKEN="Bearer container-token")
        sandbox.run("keys", "test", f"awskms:///{key.arn}")
    # The other form goes to a fixed link-local address, where nobody answers here.
    del environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/x"
    sandbox.run("keys", "test", f"awskms:///{key.arn}", "--key-timeout", "2s", code=None)


def test_azure(sandbox, authority):
    with FakeAzure(authority) as fake:
        fake.add_key("k1")
        sandbox.configure(f'[key "k"]\nuri = azurekv://{VAULT}/keys/k1\nendpoint = {fake.url}\nca_file = {fake.ca_file}\n')
        sandbox.environment.update(AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=CLIENT, AZURE_CLIENT_SECRET=SECRET,
                                   AZURE_AUTHORITY_HOST=fake.url)
        back_up_and_restore(sandbox, f"azurekv://{VAULT}/keys/k1")


def test_gcp(sandbox, authority, tmp_path):
    with FakeGcp(authority) as fake:
        sandbox.configure(f'[key "k"]\nuri = gcpkms://{KEY}\nendpoint = {fake.url}\nca_file = {fake.ca_file}\n')
        sandbox.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(fake.account_file(tmp_path / "account.json"))
        back_up_and_restore(sandbox, f"gcpkms://{KEY}")


def test_vault(sandbox, authority):
    with FakeVault(authority, namespace="team/a") as fake:
        sandbox.environment.update(VAULT_ADDR=fake.url, VAULT_CACERT=str(fake.ca_file), VAULT_NAMESPACE="team/a",
                                   VAULT_TOKEN=fake.add_token().name)
        back_up_and_restore(sandbox, "vault:///transit/k1")


def test_vault_name_in_the_certificate(sandbox, authority):
    with FakeVault(authority) as fake:
        sandbox.environment.update(VAULT_ADDR=fake.url, VAULT_CACERT=str(fake.ca_file), VAULT_TOKEN=fake.add_token().name,
                                   VAULT_TLS_SERVER_NAME="localhost")
        sandbox.run("keys", "test", "vault:///transit/k1")
        sandbox.environment["VAULT_TLS_SERVER_NAME"] = "elsewhere.internal"
        assert "TLS" in sandbox.run("keys", "test", "vault:///transit/k1", code=None).stderr


def test_the_bundle_of_openssl(sandbox, aws, environment, tmp_path):
    key = aws.add_key()
    environment.update(keys_of(aws.add_user()), SSL_CERT_FILE=environment.pop("AWS_CA_BUNDLE"))
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    (tmp_path / "other").mkdir()
    environment["SSL_CERT_FILE"] = str(Authority(tmp_path / "other").ca_file)
    assert "TLS" in sandbox.run("keys", "test", f"awskms:///{key.arn}", "--key-timeout", "2s", code=None).stderr


def test_settings_of_the_host_count_for_every_key(sandbox, aws, environment):
    key, proxy = aws.add_key(), Proxy()
    environment.update(keys_of(aws.add_user()))
    bundle = environment.pop("AWS_CA_BUNDLE")
    sandbox.configure(f"[global]\nca_file = {bundle}\nproxy = {proxy.url}\n")
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    assert set(proxy.tunnels) == {("CONNECT", aws.host)}
    sandbox.configure(f"[global]\nca_file = {bundle}\nproxy = {proxy.url}\nno_proxy = 127.0.0.1\n")
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    sandbox.configure(f'[global]\nca_file = /dev/null\nproxy = http://127.0.0.1:1\n[key "k"]\nuri = awskms:///{key.arn}\n'
                      f"ca_file = {bundle}\nproxy = {proxy.url}\n")
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    assert len(proxy.tunnels) >= 2


class Proxy:
    """Tunnels, and remembers where to."""

    def __init__(self):
        self.tunnels = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.socket.accept()[0],), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            method, target = head.decode().split(" ")[:2]
            self.tunnels.append((method, target))
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                self.pump(client, server)

    @staticmethod
    def pump(client, server):
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                (server if source is client else client).sendall(data)


@pytest.mark.parametrize("variable, exception", [("https_proxy", "no_proxy"), ("HTTPS_PROXY", "NO_PROXY")])
def test_proxies(sandbox, aws, environment, variable, exception):
    key, proxy = aws.add_key(), Proxy()
    environment.update(keys_of(aws.add_user()), **{variable: proxy.url})
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    assert set(proxy.tunnels) == {("CONNECT", aws.host)}
    before = len(proxy.tunnels)
    environment[exception] = "127.0.0.1"
    sandbox.run("keys", "test", f"awskms:///{key.arn}")
    assert len(proxy.tunnels) == before


REFUSED = ["http://kms.example.com", "http://10.0.0.1", "http://192.168.1.1:8200", "http://169.253.0.1",
           "http://127.0.0.1.example.com", "http://localhost.example.com", "http://[2001:db8::1]"]
ACCEPTED = ["http://127.0.0.1:1", "http://localhost:1", "http://169.254.169.254:1", "http://[::1]:1", "http://[fe80::1]:1"]
PLACES = {
    "aws": ("awskms:///arn:aws:kms:eu-west-1:1:key/k", "endpoint"),
    "aws-sts": ("awskms:///arn:aws:kms:eu-west-1:1:key/k", "sts_endpoint"),
    "azure": (f"azurekv://{VAULT}/keys/k1", "endpoint"),
    "gcp": (f"gcpkms://{KEY}", "endpoint"),
    "vault": ("vault://v:8200/transit/k1", "endpoint"),
}


CREDENTIALS = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "x",
               "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET, "VAULT_TOKEN": "t"}


@pytest.mark.parametrize("place", PLACES)
def test_plain_http_is_for_this_machine_and_its_metadata_only(sandbox, place):
    uri, setting = PLACES[place]
    extra = "role_arn = arn:aws:iam::1:role/r\n" if place == "aws-sts" else ""
    for url in REFUSED + ACCEPTED:
        sandbox.configure(f'[key "k"]\nuri = {uri}\n{extra}{setting} = {url}\n')
        done = sandbox.run("keys", "test", uri, "--key-timeout", "1s", code=None, env=CREDENTIALS)
        assert done.returncode not in (0, 2 if url in ACCEPTED else 0), (url, done.stderr)
        assert ("https" in done.stderr) == (url in REFUSED), (url, done.stderr)


def test_plain_http_by_variables_is_refused_as_well(sandbox):
    for name, uri in (("AWS_ENDPOINT_URL_KMS", PLACES["aws"][0]), ("AWS_ENDPOINT_URL_STS", PLACES["aws"][0]),
                      ("AWS_ENDPOINT_URL", PLACES["aws"][0]), ("VAULT_ADDR", "vault:///transit/k1"),
                      ("AZURE_AUTHORITY_HOST", PLACES["azure"][0])):
        done = sandbox.run("keys", "test", uri, "--key-timeout", "2s", code=None, env={
            **CREDENTIALS, name: "http://kms.example.com"})
        assert done.returncode != 0 and "https" in done.stderr, (name, done.stderr)
