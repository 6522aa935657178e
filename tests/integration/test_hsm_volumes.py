# SPDX-License-Identifier: Apache-2.0
"""Volumes under keys of tokens and KMIP servers, end to end."""

import contextlib
import os

import pytest

from fakes.kmip_server import KmipServer
from softhsm import PIN, Token
from test_cloud_volumes import read_tree, write_tree


class Service:
    """The [key] section that leads to a key, its Encryption Key ID, and switches."""

    def __init__(self, uri, settings, key_id, disable, enable, destroy, environment=None, secrets=()):
        self.uri, self.settings, self.key_id = uri, settings, key_id
        self.disable, self.enable, self.destroy = disable, enable, destroy
        self.environment, self.secrets = environment or {}, secrets

    def section(self):
        lines = [f"{name} = {value}" for name, value in {"uri": self.uri, **self.settings}.items()]
        return "\n".join(['[key "customer"]', *lines, ""])


@contextlib.contextmanager
def pkcs11(directory, program):
    token = Token(directory)
    token.set_aes(program, "k1", "0a1b")
    yield Service(token.uri("object=k1"), token.settings(), token.key_id("0a1b"),
                  lambda: token.set_aes(program, "k1", "0a1b", "none"),
                  lambda: token.set_aes(program, "k1", "0a1b"),
                  lambda: token.delete("0a1b"), token.environment(), (PIN,))


@contextlib.contextmanager
def kmip(directory, program):
    with KmipServer(directory / "kmip") as server:
        name = server.add_key()
        yield Service(server.uri(name), server.settings(), server.key_id(name), lambda: server.deactivate(name), None,
                      lambda: server.destroy(name))


@contextlib.contextmanager
def kmip_get(directory, program):
    with kmip(directory, program) as made:
        made.settings["mode"] = "get"
        yield made


@pytest.fixture(params=[pkcs11, kmip, kmip_get], ids=lambda service: service.__name__)
def service(request, tmp_path, kms_call, sandbox):
    with request.param(tmp_path, kms_call) as made:
        sandbox.environment.update(made.environment)
        sandbox.configure(made.section())
        yield made


def test_back_up_and_read_in_a_fresh_process(sandbox, service):
    volume = sandbox.init("--key", service.uri)
    mount = volume.mount()
    tree = write_tree(mount.path / "2026-11-24")
    mount.umount()
    row = volume.json("snapshot list")["snapshots"][0]
    assert service.key_id in str(row), row
    mount = volume.mount("ro")
    top = mount.path / "2026-11-24"
    assert read_tree(top) == tree and len(tree) == 3
    assert os.readlink(top / "link") == "sub/large"
    mount.umount()
    stored = b"".join(path.read_bytes() for path in volume.backing.rglob("*") if path.is_file())
    for secret in service.secrets:
        assert secret.encode() not in stored and secret not in mount.log()


def test_a_disabled_key_refuses_and_comes_back_a_destroyed_one_does_not(sandbox, service):
    volume = sandbox.init("--key", service.uri)
    mount = volume.mount()
    tree = write_tree(mount.path / "2026-11-24")
    mount.umount()
    service.disable()
    assert service.key_id in volume.mount_refused(12, "ro", "snapshot=2026-11-24")
    sandbox.run("keys", "test", service.uri, code=12)
    # KMIP has no way back from Deactivated.
    if service.enable:
        service.enable()
        mount = volume.mount("ro", "snapshot=2026-11-24")
        assert sorted(read_tree(mount.path).values()) == sorted(tree.values())
        mount.umount()
        tested = sandbox.json("keys", "test", service.uri)
        assert service.key_id in str(tested), tested
    service.destroy()
    sandbox.run("keys", "test", service.uri, code=17)
    volume.mount_refused(17, "ro", "snapshot=2026-11-24")
    policy = sandbox.run("keys", "test", service.uri, "--print-policy").stdout
    assert "encrypt" in policy.lower() or "Get Attributes" in policy


def test_a_token_serves_a_daemon_and_every_command(sandbox, tmp_path, kms_call):
    """The module is loaded after the last fork, and once in each process; the id of a key is a URI, too."""
    with pkcs11(tmp_path, kms_call) as service:
        sandbox.environment.update(service.environment)
        sandbox.configure(service.section())
        volume = sandbox.init("--key", service.uri)
        mount = volume.mount(daemon=True)
        tree = write_tree(mount.path / "2026-11-24")
        volume.run("snapshot show", "2026-11-24")
        mount.umount()
        mount = volume.mount("ro", daemon=True)
        assert read_tree(mount.path / "2026-11-24") == tree
        mount.umount()
        assert "enabled" in str(sandbox.json("keys", "show", service.key_id))
        section = service.section().replace(service.uri, service.key_id)
        sandbox.configure(section)
        sandbox.run("keys", "test", service.key_id)
        volume = sandbox.init("--key", service.key_id)
        with volume.mount() as mount:
            (mount.path / "2026-11-25").mkdir()
