# SPDX-License-Identifier: Apache-2.0
"""Azure Key Vault and Managed HSM, against our own fake that enforces their protocol."""

import pytest

from fakes import base
from fakes.fake_azure import CLIENT, SECRET, TENANT, VAULT, FakeAzure, FakeAzureMetadata
from fakes.pki import Authority, key_pem, write_secret
from fakes.probe import ERRNO

URI = f"azurekv://{VAULT}/keys/k1"


@pytest.fixture
def azure(authority):
    with FakeAzure(authority) as fake:
        fake.add_key("k1")
        yield fake
    assert not fake.complaints, fake.complaints


def settings(azure, tmp_path, **more):
    return {"endpoint": azure.url, "ca_file": azure.ca_file, "authority_host": azure.url, "tenant_id": TENANT,
            "client_id": CLIENT, "client_secret_file": write_secret(tmp_path / "secret", SECRET + "\n"), **more}


@pytest.fixture
def key(azure, probe, tmp_path):
    key = probe(URI, settings(azure, tmp_path), section="az")
    yield key
    key.assert_silent(SECRET, *azure.tokens)


def test_wrap_pins_the_version_and_unwraps_with_it(azure, key):
    slot = key.wrap()
    assert slot["key_id"] == azure.kid("k1") and slot["provider"] == "azure"
    assert slot["key_alias"] == f"https://{VAULT}/keys/k1"
    assert slot["parameters"]["algorithm"] == "RSA-OAEP-256"
    assert slot["access"] == {"": 0, "principal": CLIENT, "source": "client-secret", "section": "az"}
    azure.rotate("k1")
    key.unwrap()
    assert key.wrap("second")["key_id"] == azure.kid("k1") != slot["key_id"]
    assert azure.requests[-1].path.endswith("/keys/k1/wrapkey")
    paths = [request.path for request in azure.requests if request.path.endswith("unwrapkey")]
    assert paths == [slot["key_id"].split(VAULT)[1] + "/unwrapkey"]


def test_one_login_serves_many_requests_and_a_refused_token_is_replaced(azure, key):
    key.wrap()
    replies = key.run("unwrap", "slot", repeat=5)
    assert [reply["code"] for reply in replies] == [0] * 5
    assert azure.count("login") == 2 and azure.count("unwrapkey") == 5

    azure.fail("unwrapkey", lambda request, answer: (azure.expire_tokens(), answer())[1])
    key.unwrap()
    assert azure.count("login") == 4 and azure.count("unwrapkey") == 7


def test_a_token_that_is_never_accepted_is_a_matter_of_credentials(azure, key):
    azure.token_life = 3600
    azure.fail("wrapkey", lambda request, answer: (azure.expire_tokens(), answer())[1], times=None)
    reply = key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")
    assert reply["attempts"] == 1 and azure.count("wrapkey") == 2 and "tenant" in reply["advice"]


def test_a_challenge_for_another_domain_is_refused(azure, key):
    azure.challenge_resource = "https://vault.example.net"
    azure.fail("wrapkey", lambda request, answer: (azure.expire_tokens(), answer())[1])
    reply = key.refused("EACCES", "denied", "wrap", "slot")
    assert "vault.example.net" in reply["text"] and azure.count("wrapkey") == 1


def test_a_wrap_belongs_to_its_snapshot(key):
    key.wrap()
    reply = key.refused("EKEYREJECTED", "unknown", "unwrap", "slot", context=9)
    assert "another snapshot" in reply["text"]


def test_a_disabled_key_is_seen_by_unwrapping_not_by_wrapping(azure, key):
    key.wrap()
    azure.disable("k1")
    key.wrap("other")
    reply = key.refused("EKEYREVOKED", "disabled", "probe", "slot")
    assert reply["service_code"] == "KeyDisabled" and reply["http_status"] == 403
    assert "az keyvault key set-attributes --enabled true" in reply["advice"]
    assert azure.kid("k1") in reply["advice"] and reply["request_id"].startswith("b3c0")
    assert key.ok("describe")["state"] == "disabled"
    azure.disable("k1", enabled=True)
    key.ok("probe", "slot")
    assert key.ok("describe")["state"] == "enabled"


def test_a_deleted_key_can_be_recovered(azure, key):
    key.wrap()
    azure.delete("k1")
    reply = key.refused("ENOKEY", "deleted", "unwrap", "slot")
    assert "az keyvault key recover" in reply["advice"]
    described = key.ok("describe")
    assert described["state"] == "pending-deletion" and described["deletion"] > described["created"]
    azure.recover("k1")
    key.unwrap()


def test_an_expired_key_opens_and_does_not_wrap(azure, key):
    key.wrap()
    azure.keys["k1"][-1].expires = 1
    key.unwrap()
    assert "expires" in key.refused("EKEYREVOKED", "disabled", "wrap", "other")["advice"]


def test_denials_say_what_is_missing(azure, key):
    key.wrap()
    azure.permissions -= {"unwrapKey"}
    assert "unwrapKey" in key.refused("EACCES", "denied", "unwrap", "slot")["advice"]
    azure.permissions -= {"get"}
    key.refused("EACCES", "unknown", "describe")
    azure.firewalled = True
    assert "firewall" in key.refused("EACCES", "denied", "wrap", "slot")["advice"]


def test_a_slot_of_another_vault_or_key_is_not_ours(azure, key, probe, tmp_path):
    azure.add_key("k2")
    key.wrap()
    key.ok("owns", "slot")
    for uri in (f"azurekv://{VAULT}/keys/k2", "azurekv://other/keys/k1"):
        other = probe(uri, settings(azure, tmp_path))
        other.refused("ENOKEY", None, "owns", "slot")
        other.refused("EKEYREJECTED", None, "unwrap", "slot")
    assert azure.count("unwrapkey") == 0


def test_changed_blobs_and_foreign_answers_are_rejected(azure, key, tmp_path):
    key.wrap()
    text = (tmp_path / "slot").read_text()
    at = text.index("wrapped ") + 60
    (tmp_path / "changed").write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:])
    key.refused("EKEYREJECTED", "unknown", "unwrap", "changed")

    azure.fail("unwrapkey", base.change(lambda body: body.update(kid=body["kid"].replace("/k1/", "/k2/"))))
    assert "another key" in key.refused("EKEYREJECTED", "unknown", "unwrap", "slot")["text"]
    azure.fail("wrapkey", base.change(lambda body: body.update(kid="https://evil.example/keys/k1/0")))
    key.refused("EKEYREJECTED", "unknown", "wrap", "other")
    azure.fail("unwrapkey", base.change(lambda body: body.update(value=body["value"] + "=")), times=None)
    key.refused("EPROTO", "unreachable", "unwrap", "slot")


def test_managed_hsm_keys_wrap_with_aes(authority, probe, tmp_path):
    vault = "hsm1.managedhsm.azure.net"
    with FakeAzure(authority, vault, "https://managedhsm.azure.net") as hsm:
        hsm.add_key("k1", "oct-HSM")
        key = probe(f"azurekv://{vault}/keys/k1?alg=A256KW", settings(hsm, tmp_path))
        slot = key.wrap()
        assert slot["parameters"]["algorithm"] == "A256KW" and slot["wrapped_size"] == 73
        key.unwrap()
        key.refused("EKEYREJECTED", "unknown", "unwrap", "slot", context=3)
        wrong = probe(f"azurekv://{vault}/keys/k1", settings(hsm, tmp_path))
        assert "A256KW" in wrong.refused("EINVAL", "unknown", "wrap", "other")["advice"]
    assert not hsm.complaints, hsm.complaints


@pytest.mark.parametrize("fault", [base.status(503), base.status(429, headers={"Retry-After": "0"}), base.reset(),
                                   base.half_a_body(), base.html(), base.status(500)])
def test_transient_faults_are_tried_again(azure, key, fault):
    key.wrap()
    azure.fail("unwrapkey", fault, times=2)
    # A reset of a connection that was used before is libcurl's own to repeat.
    assert key.unwrap()["attempts"] in (2, 3)


@pytest.mark.parametrize("fault, errno", [
    (base.status(503), "EHOSTUNREACH"), (base.html(), "EHOSTUNREACH"), (base.html(403), "EPROTO"),
    (base.huge_body(), "EPROTO"), (base.hang(30), "ETIMEDOUT")])
def test_lasting_faults_end_at_the_deadline_and_condemn_no_key(azure, key, fault, errno):
    key.wrap()
    key.timeout_ms = 1500
    azure.fail("unwrapkey", fault, times=None)
    reply = key.run("unwrap", "slot")[-1]
    # The last attempt may itself meet the deadline.
    assert reply["code"] in (ERRNO[errno], ERRNO["ETIMEDOUT"]) and reply["state"] == "unreachable", reply


def test_a_redirect_is_not_followed(azure, key, authority):
    with FakeAzure(authority) as other:
        azure.fail("wrapkey", base.redirect(other.url + "/keys/k1/wrapkey?api-version=7.4"), times=None)
        assert "redirect" in key.refused("EPROTO", "unreachable", "wrap", "slot")["advice"]
        assert not other.requests


def test_a_server_of_another_authority_is_not_trusted(azure, key, tmp_path):
    (tmp_path / "other").mkdir()
    key.settings["ca_file"] = Authority(tmp_path / "other").ca_file
    key.run("wrap", "slot")
    assert not azure.requests


def test_a_service_that_is_down_is_unreachable(azure, key):
    key.wrap()
    azure.stop()
    key.timeout_ms = 1500
    key.refused("EHOSTUNREACH", "unreachable", "unwrap", "slot")


def test_client_secrets_are_read_anew_and_their_end_is_named(azure, key, tmp_path):
    azure.secret = "another one"
    assert "secret is wrong" in key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")["advice"]
    azure.secret_expired = True
    assert "has expired" in key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")["advice"]
    azure.secret_expired = False
    (tmp_path / "secret").write_text("another one")
    key.wrap()
    (tmp_path / "secret").chmod(0o644)
    key.refused("EPERM", None, "wrap", "slot")


@pytest.mark.parametrize("together", [True, False])
def test_client_certificates_sign_the_login(azure, key, authority, tmp_path, together):
    certificate, private = authority.issue("client", client=True, uses_rsa=True)
    azure.load_certificate(certificate)
    del key.settings["client_secret_file"]
    if together:
        both = write_secret(tmp_path / "both.pem", certificate.read_bytes() + private.read_bytes())
        key.settings["client_certificate"] = both
    else:
        key.settings.update(client_certificate=certificate, client_key=private)
    assert key.wrap()["access"]["source"] == "client-certificate"


def test_encrypted_client_keys_need_their_passphrase(azure, key, authority, tmp_path):
    certificate, private = authority.issue("client", client=True, uses_rsa=True)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    write_secret(private, key_pem(load_pem_private_key(private.read_bytes(), None), "open sesame"))
    azure.load_certificate(certificate)
    del key.settings["client_secret_file"]
    key.settings.update(client_certificate=certificate, client_key=private)
    assert "passphrase" in key.refused("EKEYREJECTED", None, "wrap", "slot")["text"]
    key.settings["client_key_passphrase_file"] = write_secret(tmp_path / "passphrase", "open sesame")
    key.wrap()


def test_the_vendors_variables_are_enough(azure, probe, tmp_path, authority):
    key = probe(URI, {"endpoint": azure.url, "ca_file": azure.ca_file})
    key.environment.update(AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=CLIENT, AZURE_CLIENT_SECRET=SECRET,
                           AZURE_AUTHORITY_HOST=azure.url + "/")
    assert key.wrap()["access"]["source"] == "client-secret"

    token_file = tmp_path / "federated"
    token_file.write_text("first.token\n")
    azure.federated = "second.token"
    del key.environment["AZURE_CLIENT_SECRET"]
    key.environment["AZURE_FEDERATED_TOKEN_FILE"] = str(token_file)
    key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")
    token_file.write_text("second.token\n")
    key.unwrap()

    certificate, private = authority.issue("client", client=True, uses_rsa=True)
    azure.load_certificate(certificate)
    azure.federated = None
    del key.environment["AZURE_FEDERATED_TOKEN_FILE"]
    key.environment["AZURE_CLIENT_CERTIFICATE_PATH"] = str(
        write_secret(tmp_path / "both.pem", certificate.read_bytes() + private.read_bytes()))
    key.unwrap()
    key.environment["AZURE_AUTHORITY_HOST"] = azure.url.replace("https", "http")
    assert "https" in key.refused("EINVAL", None, "unwrap", "slot")["text"]


def test_managed_identities_of_machines_and_app_services(azure, probe):
    key = probe(URI, {"endpoint": azure.url, "ca_file": azure.ca_file})
    with FakeAzureMetadata(azure) as metadata:
        key.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = metadata.url
        access = key.wrap()["access"]
        assert (access["principal"], access["source"]) == ("system-assigned", "managed-identity")
        key.settings["client_id"] = CLIENT
        assert key.wrap()["access"]["principal"] == CLIENT
        assert metadata.requests[-1].query["client_id"] == CLIENT
        metadata.identity = False
        key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")
    assert not metadata.complaints
    with FakeAzureMetadata(azure, header="header-1") as service:
        key.environment.update(IDENTITY_ENDPOINT=service.url + "/msi/token", IDENTITY_HEADER="header-1")
        key.unwrap()
        assert service.count("login") == 1
    assert not service.complaints


@pytest.mark.parametrize("uri", ["azurekv://", "azurekv://v", "azurekv://v/keys/", "azurekv://v/keys/a/b/c",
                                 "azurekv://v/secrets/a", "azurekv://v/keys/a?alg=RSA1_5", "azurekv://v/keys/a?x=1",
                                 "azurekv://u:p@v/keys/a", "azurekv://v/keys/a%2e", "azurekv://v/keys/a?alg="])
def test_malformed_uris_are_refused(probe, uri):
    probe(uri).refused("EINVAL", None, "describe")
