# SPDX-License-Identifier: Apache-2.0
"""Google Cloud KMS, against our own fake that enforces its protocol."""

import json
import shutil
import stat

import pytest

from fakes import base
from fakes.fake_gcp import AUDIENCE, EMAIL, KEY, TARGET, FakeGcp, FakeGcpMetadata
from fakes.probe import ERRNO

URI = f"gcpkms://{KEY}"


@pytest.fixture
def gcp(authority):
    with FakeGcp(authority) as fake:
        yield fake
    assert not fake.complaints, fake.complaints


def settings(gcp, **more):
    return {"endpoint": gcp.url, "ca_file": gcp.ca_file, **more}


@pytest.fixture
def key(gcp, probe, tmp_path):
    path = gcp.account_file(tmp_path / "account.json")
    key = probe(URI, settings(gcp, credentials_file=path), section="g")
    yield key
    key.assert_silent(*gcp.tokens, "PRIVATE KEY")


def test_wrap_stores_the_version_and_unwraps_by_the_key(gcp, key):
    slot = key.wrap()
    assert slot["key_id"] == gcp.version_name() and slot["key_alias"] == KEY and slot["provider"] == "gcp"
    assert slot["access"] == {"": 0, "principal": EMAIL, "source": "service-account", "section": "g"}
    key.unwrap()
    assert gcp.requests[-1].path == f"/v1/{KEY}:decrypt"
    assert gcp.count("encrypt") == gcp.count("decrypt") == 1


def test_rotation_leaves_slots_and_recommends_a_rewrap(gcp, key):
    key.wrap()
    gcp.rotate()
    key.unwrap()
    described = key.ok("describe")
    assert described["version"] == "2" and described["key_id"] == gcp.version_name(2)
    assert described["next_rotation"] == int(gcp.versions[2]["created"] + 7776000)
    assert described["created"] == int(gcp.versions[2]["created"])
    assert key.wrap("new")["key_id"] == gcp.version_name(2)


def test_a_wrap_belongs_to_its_snapshot(key):
    key.wrap()
    assert "Decryption failed" in key.refused("EKEYREJECTED", "unknown", "unwrap", "slot", context=9)["text"]


@pytest.mark.parametrize("state, errno, shown", [
    ("DISABLED", "EKEYREVOKED", "disabled"), ("DESTROY_SCHEDULED", "EKEYREVOKED", "pending-deletion"),
    ("DESTROYED", "ENOKEY", "deleted")])
def test_states_of_a_version(gcp, key, state, errno, shown):
    key.wrap()
    gcp.set_state(state)
    reply = key.refused(errno, shown, "unwrap", "slot")
    assert reply["service_code"].startswith("KEY_")
    key.refused(errno, shown, "probe", "slot")
    described = key.ok("describe")
    assert described["state"] == shown and bool(described["deletion"]) == (shown == "pending-deletion")
    gcp.set_state("ENABLED")
    key.ok("probe", "slot")


def test_the_state_in_words_is_understood_without_details(gcp, key):
    key.wrap()
    gcp.set_state("DISABLED")

    def without_details(request, answer):
        reply = answer()
        del reply.body["error"]["details"]
        return reply
    gcp.fail("decrypt", without_details)
    key.refused("EKEYREVOKED", "disabled", "unwrap", "slot")


def test_a_probe_sees_what_decrypt_does_not_know_yet(gcp, key):
    """Disabling takes up to hours to reach decrypt."""
    key.wrap()
    key.ok("probe", "slot")
    answer = gcp.versions[1]
    gcp.versions[1] = {**answer, "state": "DISABLED"}
    gcp.fail("decrypt", lambda request, real: (gcp.set_state("ENABLED"), real(), gcp.set_state("DISABLED"))[1])
    reply = key.refused("EKEYREVOKED", "disabled", "probe", "slot")
    assert gcp.version_name(1) in reply["text"]
    gcp.permissions -= {"cloudkms.cryptoKeyVersions.get"}
    gcp.fail("decrypt", lambda request, real: (gcp.set_state("ENABLED"), real(), gcp.set_state("DISABLED"))[1])
    key.ok("probe", "slot")


def test_denials_and_absence(gcp, key):
    key.wrap()
    gcp.permissions -= {"cloudkms.cryptoKeyVersions.useToDecrypt"}
    reply = key.refused("EACCES", "denied", "unwrap", "slot")
    assert "useToDecrypt" in reply["text"] and "roles/cloudkms" in reply["advice"]
    gcp.permissions -= {"cloudkms.cryptoKeys.get"}
    key.refused("EACCES", "unknown", "describe")
    gcp.is_known = False
    key.refused("ENOKEY", "deleted", "wrap", "other")
    gcp.api_enabled = False
    reply = key.refused("EINVAL", "unknown", "wrap", "other")
    assert "gcloud services enable" in reply["advice"]


def test_tokens_are_shared_and_a_refused_one_is_replaced(gcp, key):
    key.wrap()
    assert all(reply["code"] == 0 for reply in key.run("unwrap", "slot", repeat=4))
    assert gcp.count("login") == 2
    gcp.fail("decrypt", lambda request, answer: (gcp.expire_tokens(), answer())[1])
    key.unwrap()
    assert gcp.count("login") == 4
    gcp.fail("decrypt", lambda request, answer: (gcp.expire_tokens(), answer())[1], times=None)
    key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")


@pytest.mark.parametrize("change", [
    lambda body: body.update(ciphertextCrc32c=str(int(body["ciphertextCrc32c"]) ^ 1)),
    lambda body: body.pop("ciphertextCrc32c"),
    lambda body: body.update(verifiedPlaintextCrc32c=False),
    lambda body: body.pop("verifiedAdditionalAuthenticatedDataCrc32c"),
    lambda body: body.update(ciphertext=body["ciphertext"][:-8] + "AAAAAA==")])
def test_what_was_changed_on_the_way_is_not_stored(gcp, key, change):
    gcp.fail("encrypt", base.change(change))
    assert key.wrap()["attempts"] == 2
    key.timeout_ms = 1500
    gcp.fail("encrypt", base.change(change), times=None)
    reply = key.refused("EPROTO", "unreachable", "wrap", "other")
    assert "checksums" in reply["text"]


def test_a_plaintext_with_a_wrong_checksum_is_not_used(gcp, key):
    key.wrap()
    gcp.fail("decrypt", base.change(lambda body: body.update(plaintextCrc32c="1")))
    assert key.unwrap()["attempts"] == 2
    gcp.fail("decrypt", base.change(lambda body: body.update(plaintextCrc32c=int(body["plaintextCrc32c"]))))
    assert key.unwrap()["attempts"] == 1, "a checksum may also be a number"
    key.timeout_ms = 1500
    gcp.fail("decrypt", base.change(lambda body: body.pop("plaintextCrc32c")), times=None)
    key.refused("EPROTO", "unreachable", "unwrap", "slot")


def test_an_answer_of_another_key_is_rejected(gcp, key):
    gcp.fail("encrypt", base.change(lambda body: body.update(name=body["name"].replace("/k1/", "/k2/"))))
    assert "another key" in key.refused("EKEYREJECTED", "unknown", "wrap", "slot")["text"]


def test_a_slot_of_another_key_is_not_ours(gcp, key, probe):
    key.wrap()
    key.ok("owns", "slot")
    other = probe(URI.replace("/k1", "/k11"), key.settings)
    other.refused("ENOKEY", None, "owns", "slot")
    other.refused("EKEYREJECTED", None, "unwrap", "slot")
    assert gcp.count("decrypt") == 0


@pytest.mark.parametrize("fault", [base.status(503), base.status(429), base.half_a_body(), base.html(), base.reset()])
def test_transient_faults_are_tried_again(gcp, key, fault):
    key.wrap()
    gcp.fail("decrypt", fault, times=2)
    assert key.unwrap()["attempts"] in (2, 3)


@pytest.mark.parametrize("fault, errno", [(base.status(503), "EHOSTUNREACH"), (base.html(404), "EPROTO"),
                                          (base.huge_body(), "EPROTO"), (base.hang(30), "ETIMEDOUT")])
def test_lasting_faults_end_at_the_deadline_and_condemn_no_key(gcp, key, fault, errno):
    key.wrap()
    key.timeout_ms = 1500
    gcp.fail("decrypt", fault, times=None)
    reply = key.run("unwrap", "slot")[-1]
    assert reply["code"] in (ERRNO[errno], ERRNO["ETIMEDOUT"]) and reply["state"] == "unreachable", reply


def test_the_account_file_must_be_closed_to_others(gcp, key):
    path = key.settings["credentials_file"]
    path.chmod(0o644)
    reply = key.refused("EPERM", None, "wrap", "slot")
    assert "chmod 600" in reply["advice"] and not gcp.requests
    path.chmod(0o600)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "private_key": "nonsense"}))
    key.refused("EINVAL", None, "wrap", "slot")
    path.write_text(json.dumps({**content, "type": "gdch_service_account"}))
    assert "not supported" in key.refused("EINVAL", None, "wrap", "slot")["text"]
    path.write_text("[1")
    key.refused("EINVAL", None, "wrap", "slot")


def test_a_deleted_account_key_is_a_matter_of_credentials(gcp, key):
    gcp.account_key_id, known = "0" * 40, gcp.account_key_id
    key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")
    assert gcp.complaints
    gcp.complaints.clear()
    gcp.account_key_id = known


def test_the_vendors_variables_are_enough(gcp, probe, tmp_path):
    key = probe(URI, settings(gcp))
    account = gcp.account_file(tmp_path / "account.json")
    key.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(account)
    assert key.wrap()["access"]["source"] == "service-account"

    del key.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    directory = tmp_path / ".config" / "gcloud"
    directory.mkdir(parents=True)
    user = gcp.user_file(directory / "application_default_credentials.json")
    access = key.wrap()["access"]
    assert (access["principal"], access["source"]) == ("me@example.com", "authorized-user")
    assert gcp.requests[-1].headers["x-goog-user-project"] == "p1"

    (tmp_path / "sdk").mkdir()
    shutil.copy(account, tmp_path / "sdk" / user.name)
    key.environment["CLOUDSDK_CONFIG"] = str(tmp_path / "sdk")
    assert key.unwrap() and stat.S_IMODE((tmp_path / "sdk" / user.name).stat().st_mode) == 0o600
    assert key.wrap()["access"]["source"] == "service-account"
    key.settings["auth"] = "external-account"
    key.refused("EINVAL", None, "wrap", "slot")


def test_the_metadata_server_must_name_itself(gcp, probe):
    key = probe(URI, settings(gcp))
    with FakeGcpMetadata(gcp) as metadata:
        key.environment["GCE_METADATA_HOST"] = metadata.host
        access = key.wrap()["access"]
        assert (access["principal"], access["source"]) == (EMAIL, "metadata")
        key.unwrap()
        metadata.flavor = None
        key.timeout_ms = 1000
        assert "metadata server" in key.refused("EPROTO", "unreachable", "unwrap", "slot")["text"]
    assert not metadata.complaints


def test_external_accounts_take_their_token_from_a_file_anew(gcp, probe, tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")
    path = gcp.external_file(tmp_path / "external.json", {"file": str(token)})
    key = probe(URI, settings(gcp, credentials_file=path))
    key.refused("EKEYEXPIRED", "credentials-expired", "wrap", "slot")
    token.write_text(gcp.subject + "\n")
    access = key.wrap()["access"]
    assert (access["principal"], access["source"]) == (AUDIENCE, "external-account")
    key.assert_silent(gcp.subject)


def test_external_accounts_ask_an_url_and_act_as_another(gcp, probe, tmp_path):
    path = gcp.external_file(tmp_path / "external.json", {
        "url": gcp.url + "/subject", "headers": {"X-Flavor": "test"},
        "format": {"type": "json", "subject_token_field_name": "token"}}, impersonate=True)
    key = probe(URI, settings(gcp, credentials_file=path))
    assert key.wrap()["access"]["principal"] == TARGET
    assert gcp.count("impersonate") == gcp.count("subject") == 1
    gcp.fail("impersonate", base.status(403, {"error": {"status": "PERMISSION_DENIED", "message": "no"}}), times=None)
    key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")


def test_external_executables_run_only_where_that_is_allowed(gcp, probe, tmp_path):
    script = tmp_path / "token.sh"
    ran = tmp_path / "ran"
    script.write_text(f"""#!/bin/sh
[ "$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE" = {AUDIENCE} ] || exit 1
[ "$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE" = 0 ] || exit 1
echo "$1" >{ran}
echo '{{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"{gcp.subject}"}}'
""")
    script.chmod(0o755)
    path = gcp.external_file(tmp_path / "external.json", {
        "executable": {"command": f"{script} 'a b'", "timeout_millis": 20000}})
    key = probe(URI, settings(gcp, credentials_file=path))
    reply = key.refused("EACCES", "credentials-expired", "wrap", "slot")
    assert "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES" in reply["advice"] and not ran.exists()
    key.environment["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
    key.wrap()
    assert ran.read_text() == "a b\n"
    script.write_text("#!/bin/sh\necho '{\"version\":1,\"success\":false,\"message\":\"log in first\"}'\n")
    assert "log in first" in key.refused("EKEYEXPIRED", "credentials-expired", "unwrap", "slot")["text"]


@pytest.mark.parametrize("uri", ["gcpkms://", "gcpkms://projects/p/locations/l/keyRings/r",
                                 URI + "/cryptoKeyVersions/1", URI + "/", URI + "?x=1",
                                 "gcpkms://projects//locations/l/keyRings/r/cryptoKeys/k",
                                 "gcpkms://project/p/locations/l/keyRings/r/cryptoKeys/k"])
def test_malformed_uris_are_refused(probe, uri):
    probe(uri).refused("EINVAL", None, "describe")
