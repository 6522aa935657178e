# SPDX-License-Identifier: Apache-2.0
"""Keys of KMIP servers, against PyKMIP; replies that it cannot give, against a fake of our own."""

import re
import struct

import pytest

from fakes.fake_kmip import BYTES, FakeKmip, hang, item, message, refuse, state, succeed, uid, values, version
from fakes.kmip_server import KmipServer
from fakes.pki import Authority, write_secret

REJECTED = ("EKEYREJECTED", "unknown")
DATA, IV, TAG = 0x4200c2, 0x42003d, 0x4200ff


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with KmipServer(tmp_path_factory.mktemp("kmip")) as made:
        yield made


@pytest.fixture
def key(server, probe):
    """Make a Probe: key(UID, "?mode=get")."""
    return lambda name, rest="", **more: probe(server.uri(name, rest), server.settings(), **more)


@pytest.fixture
def fake(server):
    with FakeKmip(server.authority, server.certificate, server.key) as made:
        yield made


@pytest.fixture
def faked(fake, server, probe):
    return lambda rest="", **more: probe(fake.uri(rest), server.settings(), **more)


def test_gcm_binds_the_snapshot_and_names_the_key(server, key):
    name = server.add_key()
    probe = key(name, section="hsm")
    slot = probe.wrap()
    assert slot["key_id"] == server.key_id(name) and slot["wrapped_size"] == 2 + 12 + 32 + 16
    assert slot["parameters"]["algorithm"] == "AES-GCM"
    assert slot["access"]["source"] == "certificate" and slot["access"]["section"] == "hsm"
    assert re.fullmatch("[0-9a-f]{40}", slot["access"]["principal"])
    probe.unwrap()
    probe.ok("probe", "slot")
    probe.refused(*REJECTED, "unwrap", "slot", context=7)
    described = probe.ok("describe")
    assert described["state"] == "enabled" and described["created"] > 1.5e9
    key("other").refused(*REJECTED, "unwrap", "slot")


@pytest.mark.parametrize("version, algorithm", [("1.2", "AES-CBC"), ("1.3", "AES-CBC"), ("1.4", "AES-GCM"),
                                                ("2.0", "AES-GCM")])
def test_every_version(server, key, version, algorithm):
    name = server.add_key()
    probe = key(name, f"?version={version}")
    assert probe.wrap()["parameters"]["algorithm"] == algorithm
    probe.unwrap()
    assert probe.ok("describe")["state"] == "enabled"
    # What one version wrapped, the negotiated one opens.
    key(name).unwrap()
    probe.refused(*REJECTED, "unwrap", "slot", context=7)
    server.deactivate(name)
    assert probe.ok("describe")["state"] == "disabled"
    probe.refused("EKEYREVOKED", "disabled", "unwrap", "slot")


def test_changed_cbc_slots_are_refused(server, key):
    name = server.add_key()
    probe = key(name, "?version=1.2")
    probe.wrap()
    text = (probe.directory / "slot").read_text()
    wrapped = next(line for line in text.splitlines() if line.startswith("wrapped ")).split()[1]
    raw = bytearray.fromhex(wrapped)
    # A block before the ids, the padding; cut; another scheme.  What nothing here sees, the capsule does.
    ids, padding = bytearray(raw), bytearray(raw)
    ids[40] ^= 1
    padding[97] ^= 1
    for changed in (ids, padding, raw[:-1], b"\1\1" + raw[2:], b"\1\3" + raw[2:], b"\2" + raw[1:]):
        (probe.directory / "changed").write_text(text.replace(wrapped, changed.hex()))
        probe.refused(*REJECTED, "unwrap", "changed")


def test_mode_get_wraps_here_and_checks_the_state(server, key):
    name = server.add_key()
    probe = key(name, "?mode=get")
    slot = probe.wrap()
    assert slot["parameters"]["algorithm"] == "AES-GCM-local" and slot["wrapped_size"] == 2 + 12 + 32 + 16
    probe.unwrap()
    probe.refused(*REJECTED, "unwrap", "slot", context=7)
    # Slots say how they were wrapped, whatever the mode is now.
    key(name).unwrap()
    key(name, "?version=1.2&mode=get").unwrap()
    key(name, "?mode=get&version=2.0").unwrap()
    # The server gives the key away in any state.
    server.deactivate(name)
    reply = probe.refused("EKEYREVOKED", "disabled", "unwrap", "slot")
    assert "Deactivated" in reply["text"]
    probe.refused("EKEYREVOKED", "disabled", "wrap", "new")
    short = server.add_key(bits=128)
    assert "256 bits" in key(short, "?mode=get").refused("EINVAL", "unknown", "wrap", "new")["text"]


def test_states_of_keys(server, key):
    name = server.add_key(active=False)
    probe = key(name)
    assert "activate" in probe.refused("EKEYREVOKED", "disabled", "wrap", "slot")["advice"]
    assert probe.ok("describe")["state"] == "disabled"
    server.activate(name)
    probe.wrap()
    server.deactivate(name, compromised=True)
    assert "Compromised" in probe.refused("EKEYREVOKED", "disabled", "unwrap", "slot")["text"]
    probe.refused("EKEYREVOKED", "disabled", "probe", "slot")
    server.destroy(name)
    reply = probe.refused("ENOKEY", "deleted", "unwrap", "slot")
    assert reply["service_code"] == "Item Not Found"
    probe.refused("ENOKEY", "deleted", "describe")


def test_keys_of_others_are_denied_or_not_there(server, key):
    name = server.add_key()
    probe = key(name)
    certificate, private = server.authority.issue("stranger", client=True)
    probe.settings.update(client_certificate=certificate, client_key=private)
    reply = probe.run("wrap", "slot")[-1]
    assert reply["code"] in (-13, -126) and reply["state"] in ("denied", "deleted"), reply


def test_certificates_on_both_sides(server, key, tmp_path):
    probe = key(server.add_key())
    own = probe.settings.copy()
    other = Authority(tmp_path, name="other CA")
    probe.settings["ca_file"] = other.ca_file
    assert "TLS" in probe.refused("EHOSTUNREACH", "unreachable", "wrap", "slot")["text"]
    certificate, private = other.issue("backup", client=True)
    probe.settings.update(own, client_certificate=certificate, client_key=private)
    reply = probe.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")
    assert "client_certificate" in reply["advice"]
    probe.settings.update(own, tls_server_name="elsewhere")
    probe.refused("EHOSTUNREACH", "unreachable", "wrap", "slot")
    probe.settings["tls_server_name"] = "127.0.0.1"
    probe.wrap()
    del probe.settings["client_certificate"]
    assert "client_certificate" in probe.refused("EINVAL", None, "wrap", "slot")["advice"]


def test_uris_and_versions_are_checked(server, probe):
    for uri in ("kmip://h/", "kmip:///k", "kmip://h/k/k", "kmip://h/k?mode=x", "kmip://h/k?version=1.1", "kmip://h/k?x=1",
                "kmip://u:p@h/k", "kmip://h/k?version=2.1"):
        probe(uri, server.settings()).refused("EINVAL", None, "describe")
    named = probe("kmip://h/k", {**server.settings(), "server_name": "prod"})
    (named.directory / "slot").write_text("provider kmip\nkey_id kmip:prod/k\nwrapped 01\n")
    named.ok("owns", "slot")
    probe("kmip://h/k", server.settings()).refused("ENOKEY", None, "owns", "slot")


def test_connections_are_used_again_and_replaced(server, key, fake, faked):
    sealed = [item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(16))]
    fake.answers["Encrypt"] = succeed(uid(), *sealed)
    probe = faked()
    replies = probe.run("wrap", "slot", repeat=5)
    assert [reply["code"] for reply in replies] == [0] * 5
    assert fake.connections == 1 and fake.counts == {"DiscoverVersions": 1, "Encrypt": 5}
    # A server that closes after each answer: found before the next request, or repeated once.
    fake.is_closing_idle = True
    replies = probe.run("wrap", "slot", repeat=5)
    assert [reply["code"] for reply in replies] == [0] * 5 and all(reply["attempts"] == 1 for reply in replies)


def test_gcm_that_a_server_lacks_becomes_cbc(fake, faked):
    def encrypt(operation, request):
        if values(request, TAG - 1):
            return refuse(0x3e)(operation, request)
        return succeed(uid(), item(DATA, BYTES, values(request, DATA)[0] + bytes(16)))(operation, request)
    fake.answers["Encrypt"] = encrypt
    replies = faked().run("wrap", "slot", repeat=3)
    assert all(reply["parameters"]["algorithm"] == "AES-CBC" for reply in replies)
    assert fake.counts["Encrypt"] == 4
    # But not because of anything else.
    fake.answers["Encrypt"] = refuse(0x05)
    assert "mode = get" in faked().refused("EINVAL", "unknown", "wrap", "slot")["advice"]
    assert fake.counts["Encrypt"] == 5


@pytest.mark.parametrize("reason, errno, key_state", [
    (0x36, "ENOKEY", "deleted"), (0x42, "ENOKEY", "deleted"), (0x43, "EKEYREVOKED", "disabled"),
    (0x39, "EACCES", "denied"), (0x03, "EKEYEXPIRED", "credentials-expired"), (0x3a, "EHOSTUNREACH", "unreachable"),
    (0x2a, "EHOSTUNREACH", "unreachable"), (0x0d, "EHOSTUNREACH", "unreachable"), (0x0a, "EKEYREJECTED", "unknown"),
    (0x29, "EINVAL", "unknown"), (0x7777, "EPROTO", "unreachable")])
def test_reasons_are_mapped(fake, faked, reason, errno, key_state):
    fake.answers["Encrypt"] = succeed(uid(), item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(16)))
    probe = faked(timeout_ms=1500)
    probe.wrap()
    fake.answers["Decrypt"] = refuse(reason, "line one\nERROR forged")
    reply = probe.refused(errno, key_state, "unwrap", "slot")
    assert "line one ERROR forged" in reply["text"]


def test_permission_denied_is_settled_by_the_state(fake, faked):
    fake.answers["Encrypt"] = refuse(0x0c)
    for value, errno, key_state in ((2, "EACCES", "denied"), (3, "EKEYREVOKED", "disabled"),
                                    (4, "EKEYREVOKED", "disabled"), (5, "ENOKEY", "deleted"),
                                    (1, "EKEYREVOKED", "disabled")):
        fake.answers["GetAttributes"] = succeed(uid(), state(value))
        faked().refused(errno, key_state, "wrap", "slot")
    fake.answers["GetAttributes"] = refuse(0x0c)
    faked().refused("EACCES", "denied", "wrap", "slot")
    # Reading attributes may be denied: no verdict about the key.
    faked().refused("EACCES", "unknown", "describe")


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(8), b"\x42\x00\x7b\x01\x7f\xff\xff\xf8", b"\x42\x00\x7b\x01\0\0\0\x08",
    b"\x42\x00\x7b\x01\0\0\0\x08\x42\0\x7a\1\xff\xff\xff\xf8", message(0x20, []), message(0x1f, [], batch=2), None,
    succeed(uid()), succeed(item(DATA, BYTES, bytes(32))),
    succeed(uid(), item(DATA, BYTES, bytes(31)), item(TAG, BYTES, bytes(16))),
    succeed(uid(), item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(15)))],
    ids=lambda answer: None)
def test_replies_that_cannot_be_read(fake, faked, answer):
    fake.answers["Encrypt"] = answer
    reply = faked(timeout_ms=600).run("wrap", "slot")[-1]
    assert reply["code"] in (-71, -110) and reply["state"] == "unreachable", reply


def test_replies_about_another_key_are_refused(fake, faked):
    fake.answers["Encrypt"] = succeed(uid("other"), item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(16)))
    faked().refused(*REJECTED, "wrap", "slot")
    fake.answers["Encrypt"] = succeed(uid(), item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(16)))
    fake.answers["Decrypt"] = succeed(uid(), item(DATA, BYTES, bytes(31)))
    probe = faked()
    probe.wrap()
    probe.refused(*REJECTED, "unwrap", "slot")


def test_deadlines_and_servers_that_are_not_there(fake, faked, probe, server):
    fake.answers["Encrypt"] = hang(3)
    probed = faked(timeout_ms=500)
    assert "deadline" in probed.refused("ETIMEDOUT", "unreachable", "wrap", "slot")["text"]
    fake.listener.close()
    gone = probe("kmip://localhost:1/k", server.settings(), timeout_ms=500)
    gone.refused("EHOSTUNREACH", "unreachable", "wrap", "slot")


def test_a_key_that_still_opens_is_no_longer_active(fake, faked):
    fake.answers["Encrypt"] = succeed(uid(), item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(16)))
    secret = []
    fake.answers["Encrypt"] = lambda operation, request: (
        secret.append(values(request, DATA)[0]),
        succeed(uid(), item(DATA, BYTES, bytes(32)), item(TAG, BYTES, bytes(16)))(operation, request))[1]
    fake.answers["Decrypt"] = lambda operation, request: succeed(
        uid(), item(DATA, BYTES, secret[0]))(operation, request)
    fake.answers["GetAttributes"] = succeed(uid(), state(3))
    probe = faked()
    probe.wrap()
    probe.unwrap()
    probe.refused("EKEYREVOKED", "disabled", "probe", "slot")
    fake.answers["GetAttributes"] = refuse(0x0c)
    probe.ok("probe", "slot")


def test_versions_are_negotiated_and_passwords_sent(fake, faked, tmp_path):
    fake.answers["Encrypt"] = lambda operation, request: succeed(
        uid(), item(DATA, BYTES, bytes(80 if b"\1\2" in request[40:60] else 32)), item(TAG, BYTES, bytes(16)))(
        operation, request)
    fake.answers["DiscoverVersions"] = succeed(version(1, 0), version(1, 2))
    probe = faked()
    probe.settings.update(username="backup", password_file=write_secret(tmp_path / "password", "geheim-4711"))
    fake.answers["Encrypt"] = succeed(uid(), item(DATA, BYTES, bytes(80)))
    slot = probe.wrap()
    assert slot["parameters"]["algorithm"] == "AES-CBC" and slot["access"]["principal"] == "backup"
    assert slot["access"]["source"] == "password"
    assert all(values(request, 0x4200a1) == [b"geheim-4711"] for request in fake.requests)
    assert struct.unpack(">I", values(fake.requests[-1], 0x42006b)[0]) == (2,)
    probe.assert_silent("geheim-4711")
    fake.answers["DiscoverVersions"] = refuse(0x05)
    assert faked().wrap()["parameters"]["algorithm"] == "AES-CBC"
    fake.answers["DiscoverVersions"] = succeed(version(3, 0))
    faked().refused("EINVAL", "unknown", "wrap", "slot")


