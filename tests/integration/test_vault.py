# SPDX-License-Identifier: Apache-2.0
"""Transit keys of Vault and OpenBao, against our own fake that enforces their protocol."""

import pytest

from fakes import base
from fakes.fake_vault import ROLE_ID, SECRET_ID, FakeVault
from fakes.pki import write_secret
from fakes.probe import ERRNO


@pytest.fixture
def vault(authority):
    with FakeVault(authority) as fake:
        yield fake
    assert not fake.complaints, fake.complaints


def uri(vault, rest="transit/k1"):
    return f"vault://{vault.host}/{rest}"


def with_token(vault, tmp_path, name="token", **more):
    token = vault.add_token(**more)
    return {"ca_file": vault.ca_file, "token_file": write_secret(tmp_path / name, token.name)}


@pytest.fixture
def key(vault, probe, tmp_path):
    key = probe(uri(vault), with_token(vault, tmp_path), section="v")
    yield key
    key.assert_silent(*vault.tokens, SECRET_ID)


def test_wrap_names_the_version_and_binds_the_snapshot(vault, key):
    slot = key.wrap()
    token = next(iter(vault.tokens.values()))
    assert slot["key_id"] == f"vault:{vault.host}/transit/k1#1" and slot["provider"] == "vault"
    assert slot["access"] == {"": 0, "principal": token.accessor, "source": "token", "section": "v"}
    key.unwrap()
    assert vault.count("encrypt") == vault.count("decrypt") == vault.count("keys") == 1
    key.refused("EKEYREJECTED", "unknown", "unwrap", "slot", context=7)


def test_rotation_leaves_slots_until_old_versions_are_forbidden(vault, key):
    key.wrap()
    vault.rotate()
    key.unwrap()
    assert key.wrap("new")["key_id"].endswith("#2")
    described = key.ok("describe")
    assert described["version"] == "2" and described["next_rotation"] == described["created"] + 86400
    vault.keys["transit/k1"]["min_decryption_version"] = 2
    reply = key.refused("EKEYREVOKED", "disabled", "unwrap", "slot")
    assert "min_decryption_version" in reply["advice"]
    key.unwrap("new")
    vault.keys["transit/k1"]["min_decryption_version"] = 1
    key.unwrap()


def test_deleted_keys_and_keys_restored_from_an_older_backup(vault, key):
    vault.rotate()
    key.wrap()
    lost = vault.keys["transit/k1"]["versions"].pop()
    assert "older backup" in key.refused("ENOKEY", "deleted", "unwrap", "slot")["advice"]
    vault.keys["transit/k1"]["versions"].append(lost)
    vault.keys["transit/k1"]["soft_deleted"] = True
    key.refused("EKEYREVOKED", "disabled", "unwrap", "slot")
    assert key.ok("describe")["state"] == "disabled"
    del vault.keys["transit/k1"]
    key.refused("ENOKEY", "deleted", "unwrap", "slot")
    key.refused("ENOKEY", "deleted", "describe")
    # Made again under the same name, it is another key.
    vault.add_key("transit/k1")
    vault.rotate()
    key.refused("EKEYREJECTED", "unknown", "unwrap", "slot")


def test_no_key_is_made_silently(vault, key, probe):
    vault.policy.update({"transit/keys/typo": {"read"}, "transit/encrypt/typo": {"create", "update"}})
    typo = probe(uri(vault, "transit/typo"), key.settings)
    assert "transit/typo" in typo.refused("ENOKEY", "deleted", "wrap", "slot")["advice"]
    # It may not be seen whether the key exists, and this token could make it.
    del vault.policy["transit/keys/typo"]
    reply = typo.refused("EACCES", "unknown", "wrap", "slot")
    assert "grant read on transit/keys/typo" in reply["advice"]
    assert vault.count("encrypt") == 0

    # A token that may only use keys is safe without seeing them.
    del vault.policy["transit/keys/k1"]
    key.wrap()
    assert vault.count("capabilities-self") == 2
    vault.may_see_capabilities = False
    assert "what this token may do" in key.refused("EACCES", "unknown", "wrap", "slot")["text"]


def test_keys_of_other_types_are_refused(vault, key):
    vault.add_key("transit/k1", "rsa-2048")
    assert "aes256-gcm96" in key.refused("EINVAL", "unknown", "wrap", "slot")["text"]
    vault.add_key("transit/k1")
    vault.keys["transit/k1"]["derived"] = True
    assert "derived" in key.refused("EINVAL", "unknown", "wrap", "slot")["text"]


def test_denials_are_tried_with_a_new_login_only_if_there_is_one(vault, key):
    key.wrap()
    del vault.policy["transit/decrypt/k1"]
    reply = key.refused("EACCES", "denied", "unwrap", "slot")
    assert "decrypt" in reply["advice"] and vault.count("decrypt") == 1
    del vault.policy["transit/keys/k1"]
    key.refused("EACCES", "unknown", "describe")


def test_a_token_that_has_ended_is_replaced_from_its_file(vault, key, tmp_path):
    key.wrap()
    vault.revoke_tokens()
    reply = key.refused("EACCES", "denied", "unwrap", "slot")
    assert reply["http_status"] == 403
    write_secret(tmp_path / "token", vault.add_token().name + "\n")
    key.unwrap()


def test_tokens_without_an_end_and_without_the_right_to_look(vault, key, probe, tmp_path):
    endless = probe(uri(vault), with_token(vault, tmp_path, "endless", life=0))
    endless.wrap()
    vault.may_look_up = False
    assert endless.wrap()["access"]["principal"] == "token"


def test_namespaces_are_sent_and_kept_apart(authority, probe, tmp_path):
    with FakeVault(authority, namespace="team/a") as vault:
        key = probe(uri(vault) + "?namespace=team/a/", with_token(vault, tmp_path))
        assert key.wrap()["parameters"]["namespace"] == "team/a"
        key.unwrap()
        key.ok("owns", "slot")
        other = probe(uri(vault) + "?namespace=team/b", key.settings)
        other.refused("ENOKEY", None, "owns", "slot")
        other.refused("EKEYREJECTED", None, "unwrap", "slot")
        other.refused("EACCES", None, "wrap", "other")
        bare = probe(uri(vault), key.settings)
        bare.environment["VAULT_NAMESPACE"] = "team/a"
        bare.unwrap()
        bare.environment = {**bare.environment, "VAULT_NAMESPACE": "", "BAO_NAMESPACE": "team/a/"}
        bare.unwrap()
    assert not vault.complaints


def test_the_servers_word_in_ids_can_be_configured(vault, key, probe):
    key.settings.update(server_name="prod-vault", endpoint=vault.url + "/")
    named = probe("vault://vault.example.com/transit/k1", key.settings)
    assert named.wrap()["key_id"] == "vault:prod-vault/transit/k1#1"
    named.unwrap()
    other = probe(uri(vault), {**key.settings, "server_name": "test-vault"})
    other.refused("ENOKEY", None, "owns", "slot")


def test_the_vendors_variables_are_enough(vault, probe, tmp_path):
    key = probe("vault:///transit/k1")
    assert "VAULT_ADDR" in key.refused("EINVAL", None, "wrap", "slot")["text"]
    key.environment.update(VAULT_ADDR=vault.url, VAULT_CACERT=str(vault.ca_file))
    assert "VAULT_TOKEN" in key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")["advice"]
    write_secret(tmp_path / ".vault-token", vault.add_token().name)
    assert key.wrap()["key_id"] == f"vault:{vault.host}/transit/k1#1"
    (tmp_path / ".vault-token").unlink()
    key.environment["VAULT_TOKEN"] = vault.add_token().name
    key.unwrap()
    key.environment = {**key.environment, "VAULT_ADDR": "", "VAULT_CACERT": "", "VAULT_TOKEN": "",
                       "BAO_ADDR": vault.url, "BAO_CACERT": str(vault.ca_file), "BAO_TOKEN": vault.add_token().name}
    key.unwrap()
    key.environment["VAULT_ADDR"] = "vault.example.com"
    key.refused("EINVAL", None, "unwrap", "slot")
    key.assert_silent(*vault.tokens)


def test_plain_http_is_for_loopback_only(probe, tmp_path):
    with FakeVault(None) as vault:
        key = probe("vault:///transit/k1", {"token_file": write_secret(tmp_path / "t", vault.add_token().name)})
        key.environment["VAULT_ADDR"] = vault.url
        key.wrap()
        key.unwrap()
        key.environment["VAULT_ADDR"] = "http://vault.example.com:8200"
        key.refused("EINVAL", None, "wrap", "other")


def test_approle_logs_in_once_and_again_when_refused(vault, probe, tmp_path):
    secret = write_secret(tmp_path / "secret-id", SECRET_ID)
    key = probe(uri(vault), {"ca_file": vault.ca_file, "role_id": ROLE_ID, "secret_id_file": secret})
    access = key.wrap()["access"]
    assert (access["principal"], access["source"]) == (ROLE_ID, "approle")
    assert all(reply["code"] == 0 for reply in key.run("unwrap", "slot", repeat=3))
    assert vault.count("login") == 2
    vault.fail("decrypt", lambda request, answer: (vault.revoke_tokens(), answer())[1])
    key.unwrap()
    assert vault.count("login") == 4
    vault.secret_ids = {"another"}
    reply = key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")
    assert "secret" in reply["advice"]
    secret.write_text("another")
    key.unwrap()
    key.assert_silent(SECRET_ID, *vault.tokens)


def test_kubernetes_reads_its_token_anew(vault, probe, tmp_path):
    jwt = tmp_path / "jwt"
    jwt.write_text("stale\n")
    key = probe(uri(vault) + "?auth=kubernetes",
                {"ca_file": vault.ca_file, "vault_role": "backup", "jwt_file": jwt})
    key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")
    jwt.write_text(vault.jwt + "\n")
    access = key.wrap()["access"]
    assert (access["principal"], access["source"]) == ("backup", "kubernetes")
    key.settings["auth_mount"] = "k8s-other"
    assert "auth_mount" in key.refused("EINVAL", None, "unwrap", "slot")["advice"]


def test_a_tls_certificate_logs_in(authority, probe, tmp_path):
    certificate, private = authority.issue("backup-host", client=True)
    with FakeVault(authority, client_ca=authority.ca_file) as vault:
        key = probe(uri(vault), {"ca_file": vault.ca_file, "auth": "certificate",
                                 "client_certificate": certificate, "client_key": private})
        assert key.wrap()["access"]["source"] == "certificate"
        other, other_key = authority.issue("stranger", client=True)
        key.settings.update(client_certificate=other, client_key=other_key)
        key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")
        key.environment.update(VAULT_CLIENT_CERT=str(certificate), VAULT_CLIENT_KEY=str(private))
        del key.settings["client_certificate"], key.settings["client_key"]
        key.unwrap()
    assert not vault.complaints


def test_leases_are_renewed_and_replaced_when_renewing_no_longer_extends(vault, probe, tmp_path):
    """A lease of 3 s with a maximum of 5 s: renewed at 2 s, again at 4 s with 1 s left, then a new login."""
    vault.life, vault.max_life = 3, 5
    secret = write_secret(tmp_path / "secret-id", SECRET_ID)
    key = probe(uri(vault), {"ca_file": vault.ca_file, "role_id": ROLE_ID, "secret_id_file": secret})
    key.wrap()
    before = vault.count("login")
    replies = key.run("unwrap", "slot", repeat=18, pause_ms=500)
    assert [reply["code"] for reply in replies] == [0] * 18
    assert vault.count("renew-self") >= 2
    assert vault.count("login") - before >= 2
    # The lease never ran out under a request: no request was refused and repeated.
    assert vault.count("decrypt") == 18


@pytest.mark.parametrize("fault", [
    base.status(503, {"errors": ["Vault is sealed"]}), base.status(429, {"errors": ["request path quota exceeded"]}),
    base.status(412, {"errors": ["required index state not present"]}), base.status(473), base.half_a_body(),
    base.html(), base.reset()])
def test_transient_faults_are_tried_again(vault, key, fault):
    key.wrap()
    vault.fail("decrypt", fault, times=2)
    assert key.unwrap()["attempts"] in (2, 3)


@pytest.mark.parametrize("fault, errno", [(base.status(500, {"errors": ["internal error"]}), "EHOSTUNREACH"),
                                          (base.html(404), "EPROTO"), (base.huge_body(), "EPROTO"),
                                          (base.hang(30), "ETIMEDOUT")])
def test_lasting_faults_end_at_the_deadline_and_condemn_no_key(vault, key, fault, errno):
    key.wrap()
    key.timeout_ms = 1500
    vault.fail("decrypt", fault, times=None)
    reply = key.run("unwrap", "slot")[-1]
    assert reply["code"] in (ERRNO[errno], ERRNO["ETIMEDOUT"]) and reply["state"] == "unreachable", reply


def test_a_sealed_server_says_so_and_a_standby_is_not_followed(vault, key, authority):
    key.wrap()
    # Beyond the deadline, so that the first attempt is the last.
    wait = {"Retry-After": "60"}
    with FakeVault(authority) as active:
        vault.fail("decrypt", base.status(307, headers={"Location": active.url + "/v1/transit/decrypt/k1", **wait}))
        assert "standby" in key.refused("EHOSTUNREACH", "unreachable", "unwrap", "slot")["advice"]
        assert not active.requests
    vault.fail("decrypt", base.status(503, {"errors": ["Vault is sealed"]}, wait))
    assert key.refused("EHOSTUNREACH", "unreachable", "unwrap", "slot")["advice"] == "unseal the server"


def test_answers_that_do_not_fit_are_not_used(vault, key, tmp_path):
    key.wrap()
    key.timeout_ms = 1500
    vault.fail("decrypt", base.change(lambda body: body["data"].update(plaintext="AAAA")), times=None)
    key.refused("EPROTO", "unreachable", "unwrap", "slot")
    vault.fail("encrypt", base.change(lambda body: body["data"].update(ciphertext="vault:vx:AAAA")), times=None)
    key.refused("EPROTO", "unreachable", "wrap", "other")
    # A blob of one version under the name of another.
    text = (tmp_path / "slot").read_text()
    (tmp_path / "renamed").write_text(text.replace("#1\n", "#2\n"))
    key.refused("EKEYREJECTED", "unknown", "unwrap", "renamed")


@pytest.mark.parametrize("text", ["vault://h:8200", "vault://h:8200/transit", "vault://h:8200//k", "vault://h/t/k?x=1",
                                  "vault://h/t/k?auth=", "vault://h/../k", "vault://h/t/a%20b", "vault://u@h/t/k",
                                  "vault://h/t/k?auth=password"])
def test_malformed_uris_are_refused(probe, text):
    probe(text).refused("EINVAL", None, "describe")
