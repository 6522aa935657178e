# SPDX-License-Identifier: Apache-2.0
"""Keys on PKCS#11 tokens, against SoftHSM; what it cannot be made to do, against a module of ours in front of it."""

import hashlib
import shutil
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from fakes.pki import write_secret
from softhsm import PIN, Token, faulty_module

REJECTED = ("EKEYREJECTED", "unknown")


@pytest.fixture(scope="module")
def made(tmp_path_factory, kms_call):
    """A token with one key of each kind; copied for each test, since keys take time to make."""
    token = Token(tmp_path_factory.mktemp("token"))
    token.set_aes(kms_call, "k1", "01")
    token.set_aes(kms_call, "kw", "02", "wrap")
    token.add_rsa("r1", "03ff")
    return token


@pytest.fixture
def token(made, tmp_path):
    copy = object.__new__(Token)
    copy.__dict__.update(made.__dict__)
    copy.tokens = tmp_path / "tokens"
    shutil.copytree(made.tokens, copy.tokens)
    for name, value in (("config", "softhsm2.conf"), ("faults_file", "faults"), ("calls_file", "calls")):
        setattr(copy, name, tmp_path / value)
    copy.pin_file = write_secret(tmp_path / "pin", PIN + "\n")
    copy.config.write_text(made.config.read_text().replace(str(made.tokens), str(copy.tokens)))
    return copy


@pytest.fixture
def key(token, probe):
    """Make a Probe: key("object=k1")."""
    made = []

    def make(rest, module=None, **more):
        one = probe(token.uri(rest), token.settings(module) if module else token.settings(), **more)
        one.environment.update(token.environment())
        made.append(one)
        return one
    yield make
    for one in made:
        one.assert_silent(PIN)


@pytest.fixture
def faulty(kms_call):
    return faulty_module(kms_call)


def test_gcm_binds_the_snapshot_and_names_the_key(token, key):
    probe = key("object=k1", section="hsm")
    slot = probe.wrap()
    assert slot["key_id"] == token.key_id("01") and slot["wrapped_size"] == 2 + 12 + 32 + 16
    assert slot["parameters"] == {"": 0, "algorithm": "AES-GCM", "token": "backup", "object": "k1"}
    assert slot["access"] == {"": 0, "principal": "user", "source": "pin", "section": "hsm"}
    probe.unwrap()
    probe.ok("probe", "slot")
    probe.refused(*REJECTED, "unwrap", "slot", context=7)
    described = probe.ok("describe")
    assert described["state"] == "enabled" and described["key_id"] == token.key_id("01")


def test_key_wrap_binds_the_snapshot_where_a_key_may_only_wrap(token, key):
    probe = key("object=kw")
    slot = probe.wrap()
    assert slot["parameters"]["algorithm"] == "AES-KW" and slot["wrapped_size"] == 2 + 64 + 8
    probe.unwrap()
    reply = probe.refused(*REJECTED, "unwrap", "slot", context=7)
    assert "another snapshot" in reply["text"]


def test_key_wrap_is_that_of_the_rfc(token, key, kms_call, tmp_path):
    """RFC 3394: what the token wrapped under a key that is known opens outside of it, and the other way round."""
    kek = bytes(range(32))
    known = bytes.fromhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")    # section 4.6
    assert aes_key_unwrap(kek, known) == bytes.fromhex("00112233445566778899aabbccddeeff") + bytes(range(16))
    token.import_aes("known", "0d", write_secret(tmp_path / "kek", kek))
    token.set_aes(kms_call, "known", "0d", "wrap")
    probe = key("object=known")
    assert probe.wrap()["parameters"]["algorithm"] == "AES-KW"
    slot = probe.directory / "slot"
    lines = dict(line.split(" ", 1) for line in slot.read_text().splitlines())
    blob = bytes.fromhex(lines["wrapped"])
    bound = aes_key_unwrap(kek, blob[2:])
    assert len(bound) == 64 and hashlib.sha256(bound[:32]).hexdigest() == lines["digest"]
    secret = bytes(range(100, 132))
    made = (blob[:2] + aes_key_wrap(kek, secret + bound[32:])).hex()
    slot.write_text(slot.read_text().replace(lines["wrapped"], made)
                    .replace(lines["digest"], hashlib.sha256(secret).hexdigest()))
    probe.unwrap()    # and compares


def test_rsa_oaep_with_sha_256(token, key, faulty):
    probe = key("object=r1", module=faulty)
    slot = probe.wrap()
    assert slot["key_id"] == token.key_id("03ff") and slot["wrapped_size"] == 2 + 256
    assert slot["parameters"]["algorithm"] == "RSA-OAEP-256"
    probe.unwrap()
    assert "another snapshot" in probe.refused(*REJECTED, "unwrap", "slot", context=7)["text"]
    # SoftHSM itself has OAEP with SHA-1 only, which is not used instead.
    assert "SHA-256" in key("object=r1").refused("EINVAL", "unknown", "wrap", "other")["advice"]


def test_a_public_key_wraps_without_a_login(token, key, faulty):
    probe = key("object=r1", module=faulty)
    del probe.settings["pin_file"]
    probe.wrap()
    assert token.calls("C_Login") == 0
    probe.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")
    probe.settings["pin_file"] = token.pin_file
    probe.unwrap()


def test_blobs_are_believed_for_their_key_only(token, key):
    first, wrapping = key("object=k1"), key("object=kw")
    first.wrap()
    lines = (first.directory / "slot").read_text()
    (first.directory / "moved").write_text(lines.replace(token.key_id("01"), token.key_id("02")))
    wrapping.refused("EKEYREVOKED", "disabled", "unwrap", "moved")
    wrapping.refused(*REJECTED, "unwrap", "slot")
    wrapped = next(line for line in lines.splitlines() if line.startswith("wrapped ")).split()[1]
    for changed in (wrapped[:-2] + ("00" if wrapped[-2:] != "00" else "01"), wrapped[:-2], "0109" + wrapped[4:],
                    "02" + wrapped[2:], "01", "0101"):
        (first.directory / "changed").write_text(lines.replace(wrapped, changed))
        first.refused(*REJECTED, "unwrap", "changed")


def test_whose_slot_it_is_needs_no_token(token, key, probe):
    key("object=k1").wrap()
    shutil.rmtree(token.tokens)
    token.tokens.mkdir()
    for mine in (token.uri("object=k1"), token.uri("id=%01"), "pkcs11:object=k1",
                 f"pkcs11:serial={token.serial};id=%01;object=renamed"):
        probe(mine, token.settings()).ok("owns", "slot")
    for other in (token.uri("object=k2"), token.uri("id=%02"), token.uri("id=%01%01"),
                  "pkcs11:token=other;object=k1", "pkcs11:serial=0000000000000000;id=%01"):
        probe(other, token.settings()).refused("ENOKEY", None, "owns", "slot")


def test_uris_hold_no_secret_and_name_no_library(token, probe, tmp_path):
    for rest, word in (("object=k1?pin-value=1234", "pin-value"), ("object=k1?module-path=/x.so", "module-path"),
                       ("object=k1?module-name=x", "module-path"), ("object=k1?x-thing=1", "not known"),
                       ("manufacturer=x", "object=LABEL"), ("object=k1;type=cert", "not a key"),
                       ("object=%zz", "not a PKCS#11 URI"), ("object=k1?pin-source=|cat", "file:/PATH")):
        reply = probe(token.uri(rest), token.settings()).refused("EINVAL", None, "describe")
        assert word in reply["text"] and "1234" not in reply["text"], reply
    source = probe(token.uri(f"object=k1?pin-source=file:{token.pin_file}"), {"module": token.settings()["module"]})
    source.environment.update(token.environment())
    source.ok("describe")
    token.pin_file.chmod(0o644)
    source.refused("EPERM", None, "describe")


@pytest.mark.parametrize("source", ["file", "credential", "command", "env"])
def test_the_pin_comes_from_any_secret_source(token, key, source):
    probe = key("object=k1")
    del probe.settings["pin_file"]
    probe.environment.update(CREDENTIALS_DIRECTORY=str(token.pin_file.parent), THE_PIN=PIN)
    probe.settings[f"pin_{source}"] = {"file": token.pin_file, "credential": "pin", "env": "THE_PIN",
                                       "command": f"cat {token.pin_file}"}[source]
    probe.ok("describe")


def test_a_wrong_pin_is_tried_once(token, key, faulty):
    write_secret(token.pin_file, "wrong-pin")
    probe = key("object=k1", module=faulty)
    replies = probe.run("describe", repeat=3)
    assert [reply["code"] for reply in replies] == [-127] * 3 and token.calls("C_Login") == 1
    assert replies[0]["state"] == "credentials-expired" and replies[0]["service_code"] == "CKR_PIN_INCORRECT"
    del probe.settings["pin_file"]
    reply = probe.refused("EKEYEXPIRED", "credentials-expired", "describe")
    assert "asks for a PIN" in reply["text"]
    # CKF_USER_PIN_FINAL_TRY: a daemon must not be what locks a token.
    token.fail("flags 0x20000")
    probe.settings["pin_file"] = token.pin_file
    assert "locks" in probe.refused("EKEYEXPIRED", "credentials-expired", "describe")["text"]
    assert token.calls("C_Login") == 1


def test_states_of_keys(token, key, kms_call):
    probe = key("object=k1")
    probe.wrap()
    token.set_aes(kms_call, "k1", "01", "none")
    assert "CKA_DECRYPT" in probe.refused("EKEYREVOKED", "disabled", "unwrap", "slot")["advice"]
    probe.refused("EKEYREVOKED", "disabled", "wrap", "new")
    assert probe.ok("describe")["state"] == "disabled"
    token.set_aes(kms_call, "k1", "01")
    probe.unwrap()
    token.delete("01")
    reply = probe.refused("ENOKEY", "deleted", "unwrap", "slot")
    assert "backup" in reply["text"]
    probe.refused("ENOKEY", "deleted", "describe")
    # Another key under the same name.
    token.set_aes(kms_call, "k1", "01")
    probe.refused(*REJECTED, "unwrap", "slot")
    token.set_aes(kms_call, "k1", "0a")
    assert "two keys" in probe.refused("EINVAL", "unknown", "wrap", "new")["text"]
    key("object=k1;id=%0A").wrap("new")


@pytest.mark.parametrize("code, errno, state, name", [
    (0x68, "EKEYREVOKED", "disabled", "CKR_KEY_FUNCTION_NOT_PERMITTED"),
    (0x60, "ENOKEY", "deleted", "CKR_KEY_HANDLE_INVALID"),
    (0x40, "EKEYREJECTED", "unknown", "CKR_ENCRYPTED_DATA_INVALID"),
    (0x30, "EHOSTUNREACH", "unreachable", "CKR_DEVICE_ERROR"),
    (0x70, "EINVAL", "unknown", "CKR_MECHANISM_INVALID"),
    (0x1b, "EACCES", "denied", "CKR_ACTION_PROHIBITED"),
    (0x80000001, "EPROTO", "unreachable", "0x80000001")])
def test_codes_of_the_token_are_named_and_mapped(token, key, faulty, code, errno, state, name):
    probe = key("object=k1", module=faulty, timeout_ms=1000)
    probe.wrap()
    token.fail(f"C_DecryptInit {code:#x}")
    reply = probe.refused(errno, state, "unwrap", "slot")
    assert reply["service_code"] == name and name in reply["text"]
    token.fail()
    probe.unwrap()


@pytest.mark.parametrize("code, errno, state", [
    (0xa4, "EACCES", "denied"), (0xa3, "EKEYEXPIRED", "credentials-expired"),
    (0x102, "EKEYEXPIRED", "credentials-expired"), (0x32, "EHOSTUNREACH", "unreachable")])
def test_refused_logins(token, key, faulty, code, errno, state):
    probe = key("object=k1", module=faulty, timeout_ms=2000)
    token.fail(f"C_Login {code:#x}")
    probe.refused(errno, state, "describe")


def test_a_token_that_makes_its_own_ivs(token, key, faulty):
    probe = key("object=k1", module=faulty)
    token.fail("iv own")
    probe.wrap()
    token.fail()
    key("object=k1").unwrap()


def test_a_token_that_was_pulled_out_is_used_again(token, key, faulty):
    probe = key("object=k1", module=faulty, timeout_ms=1000)
    probe.wrap()
    token.fail("C_GetSlotList 0xe0")
    reply = probe.refused("EHOSTUNREACH", "unreachable", "unwrap", "slot")
    assert "no such token is present" in reply["text"] and reply["retryable"]
    token.fail()
    probe.timeout_ms = 4000
    # In one process: sessions die, then the token is away, then it is there again.
    process = subprocess.Popen(probe.command("unwrap", "slot", repeat=12, pause_ms=150), env=probe.environment,
                               text=True, stdout=subprocess.PIPE)
    time.sleep(0.3)
    token.fail("C_DecryptInit 0xb3", "C_OpenSession 0xe0")
    time.sleep(0.5)
    token.fail()
    replies = [line for line in process.communicate(timeout=60)[0].splitlines()]
    assert '"code":0' in replies[0] and '"code":0' in replies[-1]
    assert any("unreachable" in reply or '"attempts":1' not in reply for reply in replies)


def test_a_session_that_died_is_replaced_at_once(token, key, faulty):
    probe = key("object=k1", module=faulty)
    probe.wrap()
    before = token.calls("C_Login")
    token.fail("C_DecryptInit 0x101")
    reply = probe.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")
    assert reply["service_code"] == "CKR_USER_NOT_LOGGED_IN" and token.calls("C_Login") - before == 2


def test_a_module_that_hangs_meets_the_deadline(token, key, faulty):
    probe = key("object=k1", module=faulty, timeout_ms=500)
    probe.wrap()
    token.fail("C_Decrypt hang")
    reply = probe.refused("ETIMEDOUT", "unreachable", "unwrap", "slot")
    assert "deadline" in reply["text"]


def test_modules_of_p11_kits_own_configuration_are_used(token, key):
    probe = key("object=k1")
    del probe.settings["module"]
    probe.wrap()
    probe.settings["module"] = "/nonexistent/module.so"
    assert "/nonexistent" in probe.refused("EINVAL", "unknown", "describe")["text"]


def test_two_tokens_that_fit_are_ambiguous(token, key, probe, tmp_path):
    Token(tmp_path, label="second", tokens=token.tokens)
    both = probe("pkcs11:object=k1", token.settings())
    both.environment.update(token.environment())
    assert "serial=" in both.refused("EINVAL", "unknown", "describe")["text"]
    named = probe(f"pkcs11:serial={token.serial};object=k1", token.settings())
    named.environment.update(token.environment())
    named.ok("describe")


