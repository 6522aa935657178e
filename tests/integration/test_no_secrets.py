# SPDX-License-Identifier: Apache-2.0
"""Planted secrets are found in no output, log, audit log, argument list or environment of a child, nor in a core dump.

Every source of credentials gets values that are known; then keys are used, refused and lost, as loud as it goes.
Against our own fakes of the services.
"""

import base64
import contextlib
import json
import os
import resource
import secrets
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fakes.base import status
from fakes.fake_aws import FakeAws, FakeMetadata
from fakes.fake_azure import CLIENT, TENANT, VAULT, FakeAzure
from fakes import fake_azure, fake_vault
from fakes.fake_gcp import KEY, FakeGcp
from fakes.fake_kmip import BYTES, FakeKmip, item, refuse, succeed, uid, values
from fakes.fake_vault import ROLE_ID, FakeVault
from fakes.pki import key_pem, write_secret
from snapcrypt import wait_for

LOUD = "-vv"
KMIP_DATA = 0x4200c2
# Variables that hold secrets of other keys; no child has a use for them.
CANARIES = {name: f"canary-{name.lower()}-{secrets.token_hex(8)}" for name in (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD", "IDENTITY_HEADER", "VAULT_TOKEN", "BAO_TOKEN",
    "SNAPCRYPT_KEYRING_PASSPHRASE", "MY_OWN_SECRET")}


class Watch:
    """Runs commands and keeps what they said; knows what must not be there."""

    def __init__(self, sandbox, fake):
        self.sandbox, self.fake, self.secrets, self.said = sandbox, fake, set(), []
        self.place = sandbox.directory("children")

    def plant(self, *values):
        self.secrets |= {value for value in values if value}
        return next(iter(values), None)

    def run(self, *arguments, **options):
        done = self.sandbox.run(LOUD, *arguments, **{"code": None, **options})
        self.said += [done.stdout, done.stderr]
        return done

    def script(self, secret):
        """A command that prints a secret, and leaves what it was given."""
        path = self.place / f"command{len(os.listdir(self.place))}"
        value = write_secret(self.place / f"{path.name}-value", secret)
        path.write_text(f"#!/bin/sh\nenv >{self.place}/env.$$\ntr '\\0' ' ' </proc/$$/cmdline >{self.place}/arguments.$$\n"
                        f"cat {value}\n")
        path.chmod(0o700)
        return path

    def given(self):
        return "\n".join(path.read_text() for path in self.place.iterdir() if path.name.startswith(("env.", "arguments.")))

    def spoken(self):
        """What the fake was told in headers and bodies that only it may see."""
        words = set()
        for request in self.fake.requests:
            for name in ("Authorization", "X-Vault-Token", "X-Amz-Security-Token", "Metadata-Flavor-Token"):
                value = request.headers.get(name, "")
                words |= {value, value.partition("Signature=")[2], value.partition("Bearer ")[2]}
        return {word for word in words if len(word) > 8}

    def exercise(self, uri, section="", mounts=False):
        self.sandbox.configure(f"[global]\nlog_level = debug\n{section}")
        assert self.run("keys", "test", uri).returncode == 0, self.said[-1]
        if mounts:
            self.mount(uri)
        self.fake.fail(None, status(403), times=3)
        self.run("keys", "test", uri)
        self.fake.heal()
        self.fake.fail(None, status(503), times=None)
        self.run("keys", "test", uri, "--key-timeout", "1s")
        self.fake.heal()
        if mounts:
            for command in (["config", "show", "--origin"], ["keys", "list"], ["keys", "test", uri, "--print-policy"],
                            ["audit", "show"]):
                self.run(*command)
        self.check()

    def mount(self, uri):
        volume = self.sandbox.init("--key", uri)
        self.sandbox.allow("key")
        mount = volume.mount(arguments=[LOUD])
        (mount.path / "day").mkdir()
        (mount.path / "day" / "file").write_bytes(b"x")
        self.said.append(Path(f"/proc/{mount.pid()}/cmdline").read_text())
        self.run("status", "--json")
        mount.umount()
        self.said.append(mount.log())
        self.said += [path.read_bytes().decode("latin1") for path in volume.backing.rglob("*") if path.is_file()]

    def check(self):
        words = self.secrets | self.spoken()
        assert len(words) >= 2, "nothing was planted"
        state = [path.read_bytes().decode("latin1") for path in self.sandbox.state.rglob("*")
                 if path.is_file() and path.name not in ("writer.key", "keyring")]
        for text in [*self.said, *state, self.given()]:
            for word in words:
                assert word not in text, (word, text[max(text.find(word) - 300, 0):text.find(word) + 300])


@pytest.fixture
def planted(sandbox):
    """Canaries in the environment of everything that runs."""
    sandbox.environment.update(CANARIES)
    yield CANARIES


def aws_lines(fake, key, **lines):
    lines = {"uri": f"awskms:///{key.arn}", "endpoint": fake.url, "sts_endpoint": fake.url, "ca_file": fake.ca_file, **lines}
    return "\n".join(['[key "k"]', *(f"{name} = {value}" for name, value in lines.items()), ""])


def aws_file(watch, fake, user):
    return {"secret_access_key_file": write_secret(watch.place / "secret", user.secret)}


def aws_variable(watch, fake, user):
    watch.sandbox.environment["MY_OWN_SECRET"] = user.secret
    return {"secret_access_key_env": "MY_OWN_SECRET"}


def aws_systemd(watch, fake, user):
    write_secret(watch.place / "unit-secret", user.secret)
    watch.sandbox.environment["CREDENTIALS_DIRECTORY"] = str(watch.place)
    return {"secret_access_key_credential": "unit-secret"}


def aws_command(watch, fake, user):
    return {"secret_access_key_command": watch.script(user.secret)}


@pytest.mark.parametrize("source", [aws_file, aws_variable, aws_systemd, aws_command], ids=lambda one: one.__name__)
def test_sources_of_a_section(sandbox, authority, planted, source):
    with FakeAws(authority) as fake:
        key, user, role = fake.add_key(), fake.add_user(), fake.add_role("r", external_id="e")
        watch = Watch(sandbox, fake)
        lines = source(watch, fake, user)
        section = aws_lines(fake, key, access_key_id=user.access_key_id, role_arn=role.arn, external_id="e", **lines)
        section += f'[key "other"]\nuri = vault://{fake.host}/transit/k\ntoken_env = MY_OWN_SECRET\n'
        watch.plant(*fake.tokens, *CANARIES.values())
        watch.exercise(f"awskms:///{key.arn}", section, mounts=source is aws_command)
        watch.plant(*fake.tokens)  # what STS gave out meanwhile
        watch.check()
        if source is aws_command:
            assert "PATH=" in watch.given()


def aws_environment(watch, fake):
    session = fake.add_session("arn:aws:sts::1:assumed-role/r/s")
    return {"AWS_ACCESS_KEY_ID": session.access_key_id, "AWS_SECRET_ACCESS_KEY": session.secret,
            "AWS_SESSION_TOKEN": session.token}


def aws_profile(watch, fake):
    session = fake.add_session("arn:aws:sts::1:assumed-role/r/s")
    text = (f"[default]\naws_access_key_id={session.access_key_id}\naws_secret_access_key={session.secret}\n"
            f"aws_session_token={session.token}\n")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(write_secret(watch.place / "credentials", text))}


def aws_process(watch, fake):
    session = fake.add_session("arn:aws:sts::1:assumed-role/r/s")
    answer = json.dumps({"Version": 1, "AccessKeyId": session.access_key_id, "SecretAccessKey": session.secret,
                         "SessionToken": session.token})
    conf = watch.place / "conf"
    conf.write_text(f"[default]\ncredential_process = {watch.script(answer)}\n")
    return {"AWS_CONFIG_FILE": str(conf)}


def aws_web_identity(watch, fake):
    role = fake.add_role("pod", web_identity="eyJhbGciOi.identity." + secrets.token_hex(20))
    watch.plant(role.web_identity)
    return {"AWS_ROLE_ARN": role.arn, "AWS_WEB_IDENTITY_TOKEN_FILE": str(write_secret(watch.place / "token", role.web_identity))}


@pytest.mark.parametrize("source", [aws_environment, aws_profile, aws_process, aws_web_identity],
                         ids=lambda one: one.__name__)
def test_sources_of_the_chain_of_aws(sandbox, authority, source):
    with FakeAws(authority) as fake:
        key, watch = fake.add_key(), Watch(sandbox, fake)
        sandbox.environment.update({"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": fake.url,
                                    "AWS_CA_BUNDLE": str(fake.ca_file), **source(watch, fake)})
        sandbox.environment["VAULT_TOKEN"] = watch.plant(CANARIES["VAULT_TOKEN"])
        watch.plant(*fake.tokens)
        watch.exercise(f"awskms:///{key.arn}")
        watch.plant(*fake.tokens)
        watch.check()


def test_credentials_of_a_machine(sandbox, authority):
    with FakeAws(authority) as fake, FakeMetadata() as metadata:
        key, watch = fake.add_key(), Watch(sandbox, fake)
        metadata.credentials = fake.add_session("arn:aws:sts::1:assumed-role/r/i-1")
        metadata.container_token = watch.plant("Bearer " + secrets.token_hex(20))
        sandbox.environment.update(AWS_ENDPOINT_URL=fake.url, AWS_CA_BUNDLE=str(fake.ca_file),
                                   AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
        watch.plant(metadata.token, *fake.tokens)
        watch.exercise(f"awskms:///{key.arn}")
        sandbox.environment.update(AWS_CONTAINER_CREDENTIALS_FULL_URI=metadata.url + "/creds",
                                   AWS_CONTAINER_AUTHORIZATION_TOKEN=metadata.container_token)
        watch.exercise(f"awskms:///{key.arn}")


@contextlib.contextmanager
def azure(authority, watch_of):
    with FakeAzure(authority) as fake:
        fake.add_key("k1")
        watch = watch_of(fake)
        watch.plant(fake_azure.SECRET)
        secret = write_secret(watch.place / "azure", fake_azure.SECRET)
        yield watch, f"azurekv://{VAULT}/keys/k1", (
            f'[key "k"]\nuri = azurekv://{VAULT}/keys/k1\nendpoint = {fake.url}\nca_file = {fake.ca_file}\n'
            f"authority_host = {fake.url}\ntenant_id = {TENANT}\nclient_id = {CLIENT}\nclient_secret_file = {secret}\n")


@contextlib.contextmanager
def gcp(authority, watch_of):
    with FakeGcp(authority) as fake:
        watch = watch_of(fake)
        account = fake.account_file(watch.place / "account.json")
        private = json.loads(Path(account).read_text())["private_key"].splitlines()
        watch.plant(*private[1:-1])
        yield watch, f"gcpkms://{KEY}", (f'[key "k"]\nuri = gcpkms://{KEY}\nendpoint = {fake.url}\n'
                                         f"ca_file = {fake.ca_file}\ncredentials_file = {account}\n")


@contextlib.contextmanager
def vault(authority, watch_of):
    with FakeVault(authority) as fake:
        watch = watch_of(fake)
        watch.plant(fake_vault.SECRET_ID)
        secret = write_secret(watch.place / "secret-id", fake_vault.SECRET_ID)
        yield watch, f"vault://{fake.host}/transit/k1", (
            f'[key "k"]\nuri = vault://{fake.host}/transit/k1\nca_file = {fake.ca_file}\nrole_id = {ROLE_ID}\n'
            f"secret_id_file = {secret}\n")


@contextlib.contextmanager
def vault_token(authority, watch_of):
    with FakeVault(authority) as fake:
        watch = watch_of(fake)
        token = watch.plant(fake.add_token().name)
        watch.plant(token, "another-token-of-theirs")
        watch.sandbox.environment.update(VAULT_ADDR=fake.url, VAULT_CACERT=str(fake.ca_file), VAULT_TOKEN=token)
        yield watch, "vault:///transit/k1", ""


@pytest.mark.parametrize("service", [azure, gcp, vault, vault_token], ids=lambda one: one.__name__)
def test_sources_of_other_services(sandbox, authority, service):
    with service(authority, lambda fake: Watch(sandbox, fake)) as (watch, uri, section):
        watch.exercise(uri, section, mounts=True)
        watch.plant(*getattr(watch.fake, "tokens", ()))
        watch.check()


class Refusing:
    """What a Watch wants of a fake, of services that speak no HTTP: refuse() and heal() are functions."""

    requests = ()

    def __init__(self, refuse, heal):
        self.refuse, self.heal = refuse, heal

    def fail(self, *_, **__):
        self.refuse()


def test_passphrase_and_password_of_a_kmip_client(sandbox, authority, planted):
    def store(operation, request):
        return succeed(uid(), item(KMIP_DATA, BYTES, values(request, KMIP_DATA)[0] + bytes(16)))(operation, request)

    def load(operation, request):
        return succeed(uid(), item(KMIP_DATA, BYTES, values(request, KMIP_DATA)[0][:-16]))(operation, request)

    certificate, key = authority.issue("backup", client=True)
    with FakeKmip(authority, *authority.issue("localhost", "localhost", "127.0.0.1")) as fake:
        def work():
            fake.answers.update(Encrypt=store, Decrypt=load)

        watch = Watch(sandbox, Refusing(lambda: fake.answers.update(Encrypt=refuse(0x0c, "no"), Decrypt=None), work))
        work()
        passphrase, password = watch.plant("phrase-" + secrets.token_hex(8)), "word-" + secrets.token_hex(8)
        private = load_pem_private_key(Path(key).read_bytes(), None)
        watch.plant(*(word for name, word in CANARIES.items() if name != "MY_OWN_SECRET"), password,
                    *key_pem(private).decode().splitlines()[1:-1])
        encrypted = write_secret(watch.place / "client-key", key_pem(private, passphrase))
        uri = fake.uri("?version=1.2")
        watch.exercise(uri, f'[key "k"]\nuri = {uri}\nca_file = {authority.ca_file}\nclient_certificate = {certificate}\n'
                       f"client_key = {encrypted}\nclient_key_passphrase_command = {watch.script(passphrase)}\n"
                       f"username = backup\npassword_file = {write_secret(watch.place / 'password', password)}\n", mounts=True)
        assert all(password.encode() in request for request in fake.requests) and "PATH=" in watch.given()


def test_passphrase_of_a_keyring(sandbox):
    passphrase, path = f"correct horse {secrets.token_hex(8)}", sandbox.root / "keys"
    sandbox.environment["SNAPCRYPT_KEYRING_PASSPHRASE"] = passphrase
    said = []
    for command in (["keyring", "init", path, "--passphrase"], ["keyring", "list", path],
                    ["keys", "test", f"keyring://{path}#default"]):
        done = sandbox.run(LOUD, *command)
        said += [done.stdout, done.stderr]
    sandbox.environment["SNAPCRYPT_KEYRING_PASSPHRASE"] = passphrase + "-wrong"
    done = sandbox.run(LOUD, "keys", "test", f"keyring://{path}#default", code=None)
    assert done.returncode != 0
    said += [done.stdout, done.stderr, (sandbox.state / "audit.log").read_text()]
    content = json.loads(base64.b64decode(path.read_bytes())) if path.read_bytes()[:1] not in (b"{",) else None
    assert content is None and passphrase not in path.read_text()
    assert not any(passphrase in text for text in said)


def test_environment_and_input_of_an_event_command(sandbox, authority, planted):
    with FakeAws(authority) as fake:
        key, user, watch = fake.add_key(), fake.add_user(), Watch(sandbox, fake)
        watch.plant(*fake.tokens, *CANARIES.values())
        hook = watch.place / "hook"
        hook.write_text(f"#!/bin/sh\nenv >{watch.place}/env.$$\ncat >{watch.place}/arguments.$$\nmv {watch.place}/arguments.$$ "
                        f"{watch.place}/arguments.done\n")
        hook.chmod(0o700)
        uri = f"awskms:///{key.arn}"
        sandbox.configure(f"[global]\nevent_command = {hook}\nkey_poll = 1\n" + aws_lines(
            fake, key, access_key_id=user.access_key_id,
            secret_access_key_file=write_secret(watch.place / "secret", user.secret)))
        volume = sandbox.init("--key", uri)
        sandbox.allow("key|disabled")
        mount = volume.mount(arguments=[LOUD])
        (mount.path / "day").mkdir()
        key.state = "Disabled"
        event = wait_for(lambda: (watch.place / "arguments.done").exists(), "an event")
        assert event and "revoked" in watch.given()
        key.state = "Enabled"
        mount.umount()
        watch.said.append(mount.log())
        watch.check()


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def crash(process):
    process.send_signal(signal.SIGSEGV)
    _, status_word = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGSEGV
    assert os.WTERMSIG(status_word) == signal.SIGSEGV
    return os.WCOREDUMP(status_word)


def test_a_crash_leaves_no_core(sandbox, volume):
    """Whatever limits the caller has set, and where the kernel would write a core of another program."""
    place = sandbox.directory("cores")
    other = subprocess.Popen(["sleep", "60"], cwd=place, preexec_fn=limits)
    if not crash(other):
        pytest.skip("skipped: this machine writes no cores at all")
    for core in place.iterdir():
        core.unlink()
    settings = {name: sandbox.environment[name] + ":handle_segv=0:disable_coredump=0" for name in ("ASAN_OPTIONS",)}
    point = sandbox.directory("mnt")
    process = subprocess.Popen([sandbox.binary, "mount", volume.backing, point, "-f"], cwd=place, preexec_fn=limits,
                               env={**sandbox.environment, **settings}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: os.path.ismount(point), "it serves")
        (point / "day").mkdir()
        assert not crash(process)
    finally:
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    assert not list(place.iterdir())
