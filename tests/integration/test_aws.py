# SPDX-License-Identifier: Apache-2.0
"""AWS KMS and its credentials, against a fake that recomputes every signature (tests/fakes/fake_aws.py).

No test here talks to Amazon: what is proved is proved against the fake, and the fake against botocore.
"""

import json
import os
import time

import pytest

from fakes.base import Fake, Reply, half_a_body, hang, html, huge_body, redirect, reset, status
from fakes.fake_aws import (REGION, FakeAws, FakeMetadata, error, flip, sts_error, throttle,
                            wrong_key)
from fakes.pki import Authority
from kms_probe import KmsProbe

OTHER = "us-east-1"


class Stranger(Fake):
    """Somebody whom a redirect points to."""

    def handle(self, request):
        return Reply()


@pytest.fixture
def aws(authority):
    with FakeAws(authority) as fake:
        yield fake


@pytest.fixture
def metadata():
    with FakeMetadata() as fake:
        yield fake


def environment(aws, identity=None, **more):
    """What an operator who knows the vendor's tools would export."""
    found = {"AWS_ENDPOINT_URL_KMS": aws.url, "AWS_ENDPOINT_URL_STS": aws.url, "AWS_CA_BUNDLE": str(aws.ca_file),
             "AWS_EC2_METADATA_DISABLED": "true", **more}
    if identity:
        found |= {"AWS_ACCESS_KEY_ID": identity.access_key_id, "AWS_SECRET_ACCESS_KEY": identity.secret}
        if identity.token:
            found["AWS_SESSION_TOKEN"] = identity.token
    return found


@pytest.fixture
def user(aws):
    return aws.add_user()


@pytest.fixture
def key(aws):
    return aws.add_key("backup")


@pytest.fixture
def probe(aws, key, user):
    with KmsProbe(f"awskms:///{key.arn}", environment(aws, user)) as found:
        assert found.opened["code"] == 0, found.opened
        yield found


def uri_of(key):
    return f"awskms:///{key.arn}"


# ---- Operations ----

def test_generate_and_decrypt(aws, key, user, probe):
    slot = probe.ok("wrap")
    assert slot["key_id"] == key.arn and slot["provider"] == "aws" and slot["key_alias"] == ""
    assert slot["access"] == {"principal": user.access_key_id, "source": "environment"}
    assert probe.ok("unwrap", slot)["secret_sha256"] == slot["secret_sha256"]
    assert aws.counts == {"GenerateDataKey": 1, "Decrypt": 1}
    assert aws.requests[-1].json()["KeyId"] == key.arn
    assert aws.contexts[0].keys() == {"snapcrypt", "volume", "snapshot"}


def test_encrypt_and_decrypt(probe):
    slot = probe.ok("encrypt")
    assert probe.ok("unwrap", slot)["secret_sha256"] == slot["secret_sha256"]


def test_request_id_is_kept_on_success_and_failure(aws, key, probe):
    assert len(probe.ok("wrap")["request_id"]) == 16
    key.state = "Disabled"
    assert len(probe.ask("wrap")["request_id"]) == 16


def test_slot_of_another_snapshot_is_refused(probe):
    slot = probe.ok("wrap")
    probe.ask("context 1")
    reply = probe.ask("unwrap", slot)
    assert reply["errno"] == "EKEYREJECTED" and reply["service_code"] == "InvalidCiphertextException"
    assert reply["attempts"] == 1


def test_changed_blob_is_refused(probe):
    slot = probe.ok("wrap")
    slot["wrapped"] = slot["wrapped"][:-2] + ("00" if slot["wrapped"][-2:] != "00" else "01")
    assert probe.ask("unwrap", slot)["errno"] == "EKEYREJECTED"


def test_alias_is_resolved_and_stored_as_arn(aws, key, user):
    uri = f"awskms:///alias/backup?region={REGION}"
    with KmsProbe(uri, environment(aws, user)) as probe:
        slot = probe.ok("wrap")
        assert slot["key_id"] == key.arn and slot["key_alias"] == "alias/backup"
        # The alias moves on; what was written stays under its key.
        successor = aws.add_key("backup")
        assert probe.ok("unwrap", slot)["secret_sha256"] == slot["secret_sha256"]
        assert aws.requests[-1].json()["KeyId"] == key.arn
        assert probe.ok("wrap")["key_id"] == successor.arn
    with KmsProbe(uri, environment(aws, user)) as probe:
        assert probe.ok("owns", slot)["owns"]
        assert not probe.ok("owns", {**slot, "key_alias": "alias/other"})["owns"]
        assert not probe.ok("owns", {**slot, "key_id": key.arn.replace(REGION, OTHER)})["owns"]


def test_key_id_with_region(aws, key, user):
    with KmsProbe(f"awskms:///{key.key_id}?region={REGION}", environment(aws, user)) as probe:
        slot = probe.ok("wrap")
        assert slot["key_id"] == key.arn
        assert probe.ok("owns", slot)["owns"]
        other = key.arn.replace(key.key_id, "0" + key.key_id[1:-1] + "0")
        assert not probe.ok("owns", {**slot, "key_id": other})["owns"]


def test_multi_region_key_opens_in_another_region(aws, user):
    first = aws.add_key(key_id="mrk-" + "a" * 32)
    replica = aws.replicate(first, OTHER)
    with KmsProbe(uri_of(first), environment(aws, user)) as probe:
        slot = probe.ok("wrap")
    with KmsProbe(uri_of(replica), environment(aws, user)) as probe:
        assert probe.ok("owns", slot)["owns"]
        assert probe.ok("unwrap", slot)["secret_sha256"] == slot["secret_sha256"]
        assert aws.requests[-1].json()["KeyId"] == replica.arn
    single = aws.add_key(region=OTHER)
    with KmsProbe(uri_of(single), environment(aws, user)) as probe:
        assert not probe.ok("owns", slot)["owns"]
        assert not probe.ok("owns", {**slot, "key_id": single.arn.replace(OTHER, REGION)})["owns"]


def test_describe(aws, key, probe):
    key.rotates = time.time() + 86400
    info = probe.ok("describe")
    assert info["key_id"] == key.arn and info["key_state"] == "enabled"
    assert abs(info["created_s"] - key.created) < 2 and abs(info["next_rotation_s"] - key.rotates) < 2
    key.state, key.deletion = "PendingDeletion", 2000000000.5
    info = probe.ok("describe")
    assert info["key_state"] == "pending-deletion" and info["deletion_s"] == 2000000000


def test_whole_core_with_one_key(probe, aws):
    reply = probe.ok("test")
    assert reply["key_state"] == "enabled" and "prefer a role" in reply["notice"]
    assert aws.counts == {"GenerateDataKey": 1, "Decrypt": 1}


def test_no_notice_for_roles(aws, key):
    with KmsProbe(uri_of(key), environment(aws, aws.add_session("arn:aws:iam::1:role/x"))) as probe:
        assert probe.ok("test")["notice"] == ""


@pytest.mark.parametrize("uri", [
    "awskms:///", "awskms://", "awskms:///alias/", "awskms:///a/b", "awskms:///arn:aws:kms:eu-central-1:1:alias/",
    "awskms:///arn:aws:s3:eu-central-1:1:key/x", "awskms:///arn:aws:kms:EVIL.example.com:1:key/x",
    "awskms:///alias/x?region=eu.evil", "awskms:///alias/x?secret=1&region=eu-central-1", "awskms:///alias/x?region",
    "awskms:///arn:aws:kms:eu-central-1:1:key/x?region=us-east-1", "awskms:///alias/x", "awskms:///k%20y?region=r"])
def test_wrong_uris_are_refused(uri):
    with KmsProbe(uri) as probe:
        assert probe.opened["errno"] == "EINVAL", probe.opened
        assert probe.opened["text"]


# ---- States and errors ----

@pytest.mark.parametrize("key_state, errno, told", [
    ("Disabled", "EKEYREVOKED", "disabled"), ("PendingDeletion", "EKEYREVOKED", "pending-deletion"),
    ("PendingReplicaDeletion", "EKEYREVOKED", "pending-deletion"), ("PendingImport", "ENOKEY", "deleted"),
    ("Unavailable", "EHOSTUNREACH", "unreachable")])
def test_states_of_keys(aws, key, probe, key_state, errno, told):
    slot = probe.ok("wrap")
    probe.ask("timeout 1500")
    key.state = key_state
    for command in (("unwrap", slot), ("probe", slot), ("wrap",)):
        reply = probe.ask(*command)
        assert (reply["errno"], reply["state"]) == (errno, told), (command, reply)
        assert key.arn in reply["text"]
    key.state = "Enabled"
    probe.ok("probe", slot)


def test_pending_deletion_is_told_even_where_the_state_may_not_be_read(aws, key, probe):
    slot = probe.ok("wrap")
    key.state = "PendingDeletion"
    aws.deny("DescribeKey")
    assert probe.ask("unwrap", slot)["state"] == "pending-deletion"


def test_probe_believes_the_state_before_decrypt(aws, key, probe):
    slot = probe.ok("wrap")
    # Decrypt still works for a while after a key was disabled.
    aws._key, original = (lambda name, region, usable=True: original(name, region, False)), aws._key
    key.state = "Disabled"
    assert probe.ok("unwrap", slot)
    reply = probe.ask("probe", slot)
    assert (reply["errno"], reply["state"]) == ("EKEYREVOKED", "disabled")


def test_probe_takes_a_denied_description_for_no_verdict(aws, key, probe):
    slot = probe.ok("wrap")
    aws.deny("DescribeKey")
    probe.ok("probe", slot)
    aws.heal()
    aws.fail("DescribeKey", status(500), times=None)
    probe.ok("probe", slot)


def test_unknown_key_is_deleted(aws, user, key):
    with KmsProbe(uri_of(key).replace(key.key_id, "f" * 8), environment(aws, user)) as probe:
        reply = probe.ask("wrap")
        assert (reply["errno"], reply["state"]) == ("ENOKEY", "deleted")


def test_denial_names_who_wrote_and_who_asks(aws, key, user, probe):
    slot = probe.ok("wrap")
    aws.deny("Decrypt")
    reply = probe.ask("unwrap", {**slot, "access": {"principal": "arn:aws:iam::1:role/writer"}})
    assert (reply["errno"], reply["state"]) == ("EACCES", "denied")
    assert "arn:aws:iam::1:role/writer" in reply["text"] and user.access_key_id in reply["text"]
    assert "kms:Decrypt" in reply["advice"]
    assert reply["attempts"] == 1


def test_another_key_in_the_answer_is_refused(aws, probe):
    slot = probe.ok("wrap")
    for command in (("wrap",), ("encrypt",), ("unwrap", slot)):
        aws.fail(None, wrong_key())
        assert probe.ask(*command)["errno"] == "EKEYREJECTED"


def test_flipped_plaintext_is_caught_by_the_commitment(aws, probe):
    aws.fail("Decrypt", flip("Plaintext"))
    assert probe.ask("test")["errno"] == "EKEYREJECTED"


# ---- Faults ----

@pytest.mark.parametrize("fault, times", [
    (status(503), 3), (status(500), 1), (throttle(), 3), (reset(), 2), (half_a_body(), 1), (html(502), 1),
    (error("KMSInternalException", code=500), 1),
    (error("com.amazon#DependencyTimeoutException:http://x", code=503), 1)])
def test_passing_faults_are_outlasted(aws, probe, fault, times):
    slot = probe.ok("wrap")
    aws.fail(None, fault, times)
    assert probe.ok("unwrap", slot)["attempts"] > 1


@pytest.mark.parametrize("fault, errno", [
    (status(503), "EHOSTUNREACH"), (throttle(), "EHOSTUNREACH"), (hang(5), "ETIMEDOUT"), (reset(), "EHOSTUNREACH"),
    (half_a_body(), "EHOSTUNREACH"), (huge_body(), "EPROTO"), (html(200), "EPROTO"), (html(403), "EPROTO")])
def test_lasting_faults_are_unreachable_within_the_deadline(aws, probe, fault, errno):
    slot = probe.ok("wrap")
    probe.ask("timeout 2500")
    aws.fail(None, fault, times=None)
    start = time.monotonic()
    reply = probe.ask("unwrap", slot)
    assert (reply["errno"], reply["state"]) == (errno, "unreachable"), reply
    assert time.monotonic() - start < 4
    assert reply["text"]


def test_many_wraps_succeed_while_half_of_the_calls_are_throttled(aws, probe):
    class Half:
        """Every second call, in whatever order they come."""
        count = 0

        def __call__(self, request, answer):
            with aws.lock:
                Half.count += 1
                return throttle()(request, answer) if Half.count % 2 else answer()

    aws.fail(None, Half(), times=None)
    reply = probe.ask("create 200")
    assert reply["failed"] == 0
    assert reply["metrics"]["aws generate ok"] == 200
    assert reply["metrics"]["aws generate unreachable"] >= 150
    assert aws.counts["GenerateDataKey"] == sum(reply["metrics"].values())


def test_service_that_is_down_is_not_asked_by_everybody(aws, probe):
    probe.ask("timeout 1000")
    aws.fail(None, status(503), times=None)
    reply = probe.ask("create 32")
    assert reply["failed"] == 32
    # Without a pause it would be some 500 calls.
    assert aws.counts["GenerateDataKey"] < 200


def test_redirects_are_not_followed(aws, probe, authority):
    with Stranger(authority) as stranger:
        aws.fail(None, redirect(stranger.url + "/"), times=None)
        reply = probe.ask("wrap")
        assert reply["errno"] == "EPROTO" and "redirect" in reply["text"]
        assert not stranger.requests


def test_nobody_listens(aws, user, key):
    with KmsProbe(uri_of(key), environment(aws, user)) as probe:
        probe.ask("timeout 1000")
        aws.stop()
        reply = probe.ask("wrap")
        assert (reply["errno"], reply["state"]) == ("EHOSTUNREACH", "unreachable")


def test_clock_skew_is_corrected_once(aws, probe):
    aws.clock_offset_s = 20 * 60
    assert probe.ok("wrap")["attempts"] == 1
    assert aws.counts["GenerateDataKey"] == 2
    probe.ok("wrap")
    assert aws.counts["GenerateDataKey"] == 3
    aws.clock_offset_s = -20 * 60
    probe.ok("wrap")
    assert aws.counts["GenerateDataKey"] == 5


# ---- TLS ----

def test_certificate_of_an_unknown_authority_is_refused(aws, user, key, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "another CA")
    with KmsProbe(uri_of(key), environment(aws, user, AWS_CA_BUNDLE=str(other.ca_file))) as probe:
        reply = probe.ask("wrap")
        assert (reply["errno"], reply["state"]) == ("EHOSTUNREACH", "unreachable")
        assert "TLS" in reply["text"] and reply["attempts"] == 1
        assert "ca_file" in reply["advice"]
    assert not aws.requests


def test_certificate_of_another_host_is_refused(aws, user, key, authority):
    with KmsProbe(uri_of(key), environment(aws, user), tls_server_name="kms.test.invalid") as probe:
        assert "TLS" in probe.ask("wrap")["text"]
    with FakeAws(authority, "kms.test.invalid") as fake:
        fake.keys, fake.identities = aws.keys, aws.identities
        with KmsProbe(uri_of(key), environment(fake, user), tls_server_name="kms.test.invalid") as probe:
            probe.ok("wrap")


def test_replaced_authority_file_counts_at_once(aws, user, key, tmp_path, authority):
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.ca_file.read_bytes())
    with KmsProbe(uri_of(key), environment(aws, user), ca_file=bundle) as probe:
        probe.ok("wrap")
        (tmp_path / "other").mkdir()
        bundle.write_bytes(Authority(tmp_path / "other", "another CA").ca_file.read_bytes())
        assert "TLS" in probe.ask("wrap")["text"]


def test_plain_http_only_within_this_machine(user, key):
    for url, code in (("http://kms.example.com/", "EINVAL"), ("http://10.0.0.1/", "EINVAL"), ("ftp://127.0.0.1/", "EINVAL")):
        with KmsProbe(uri_of(key), endpoint=url) as probe:
            assert probe.opened["errno"] == code


def test_plain_http_to_loopback_works(user, key, aws):
    with FakeAws(None) as fake:
        fake.keys, fake.identities = aws.keys, aws.identities
        with KmsProbe(uri_of(key), environment(aws, user), endpoint=fake.url) as probe:
            probe.ok("wrap")


def test_fips_excludes_another_endpoint(aws, user, key):
    with KmsProbe(uri_of(key) + "?fips=1", environment(aws, user)) as probe:
        assert probe.opened["errno"] == "EINVAL" and "FIPS" in probe.opened["text"]


# ---- Credentials ----

def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".aws").mkdir()
    return tmp_path


def profile_environment(aws, home, **more):
    return environment(aws, HOME=str(home), **more)


def test_static_keys_of_the_section(aws, key, tmp_path):
    user = aws.add_user()
    secret = write(tmp_path / "secret", user.secret + "\n")
    with KmsProbe(uri_of(key), environment(aws), section="prod", access_key_id=user.access_key_id,
                  secret_access_key_file=secret) as probe:
        assert probe.ok("wrap")["access"] == {"principal": user.access_key_id, "source": "static", "section": "prod"}
        secret.chmod(0o644)
    with KmsProbe(uri_of(key), environment(aws), access_key_id=user.access_key_id,
                  secret_access_key_file=secret) as probe:
        assert probe.ask("wrap")["errno"] == "EPERM"


def test_section_assumes_a_role(aws, key, tmp_path):
    user, role = aws.add_user(), aws.add_role("backup", external_id="abc-123")
    secret = write(tmp_path / "secret", user.secret)
    settings = dict(access_key_id=user.access_key_id, secret_access_key_file=secret, role_arn=role.arn)
    with KmsProbe(uri_of(key), environment(aws), external_id="abc-123", **settings) as probe:
        assert probe.ok("wrap")["access"] == {"principal": role.arn, "source": "assume-role"}
        probe.ok("wrap")
        assert aws.counts["AssumeRole"] == 1 and aws.signed_as[-1] == role.arn
    with KmsProbe(uri_of(key), environment(aws), **settings) as probe:
        reply = probe.ask("wrap")
        assert (reply["errno"], reply["state"]) == ("EKEYEXPIRED", "credentials-expired")
        assert role.arn in reply["text"] and "& more" in reply["text"]


def test_profile_with_keys(aws, key, home):
    user = aws.add_user()
    write(home / ".aws/credentials", f"[other]\naws_access_key_id=no\n[default]\n# x\naws_access_key_id = {user.access_key_id}\n"
          f"aws_secret_access_key = {user.secret}\n")
    with KmsProbe(uri_of(key), profile_environment(aws, home)) as probe:
        assert probe.ok("wrap")["access"] == {"principal": user.access_key_id, "source": "profile"}


def test_profile_region_serves_an_alias(aws, key, home):
    user = aws.add_user()
    write(home / ".aws/config", f"[profile p]\nregion = {REGION}\naws_access_key_id={user.access_key_id}\n"
          f"aws_secret_access_key={user.secret}\n")
    with KmsProbe("awskms:///alias/backup", profile_environment(aws, home, AWS_PROFILE="p")) as probe:
        assert probe.ok("wrap")["key_id"] == key.arn
    with KmsProbe("awskms:///alias/backup?profile=p", profile_environment(aws, home)) as probe:
        assert probe.ok("wrap")["key_id"] == key.arn


def test_profile_chain_of_roles(aws, key, home):
    user, first, second = aws.add_user(), aws.add_role("first", external_id="x"), aws.add_role("second")
    write(home / ".aws/config", f"[profile base]\nregion = {REGION}\n[profile middle]\nrole_arn={first.arn}\n"
          f"source_profile=base\nexternal_id=x\n[profile top]\nrole_arn = {second.arn}\nsource_profile = middle\n"
          f"role_session_name = nightly backup\nduration_seconds = 1800\n")
    write(home / ".aws/credentials", f"[base]\naws_access_key_id={user.access_key_id}\naws_secret_access_key={user.secret}\n")
    with KmsProbe(uri_of(key), profile_environment(aws, home), profile="top") as probe:
        assert probe.ok("wrap")["access"] == {"principal": second.arn, "source": "assume-role"}
    assert aws.counts["AssumeRole"] == 2
    assert aws.signed_as[:2] == [user.principal, first.arn]
    assert b"RoleSessionName=nightly-backup&DurationSeconds=1800" in aws.requests[1].body


def test_profile_loop_is_refused(aws, key, home):
    write(home / ".aws/config", "[profile a]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=b\n"
          "[profile b]\nrole_arn=arn:aws:iam::1:role/b\nsource_profile=a\n")
    with KmsProbe(uri_of(key), profile_environment(aws, home), profile="a") as probe:
        assert "too many source_profile" in probe.ask("wrap")["text"]


def test_missing_profile_is_named(aws, key, home):
    with KmsProbe(uri_of(key), profile_environment(aws, home), profile="nobody") as probe:
        reply = probe.ask("wrap")
        assert reply["errno"] == "EKEYEXPIRED" and "nobody" in reply["text"]


def test_credential_source_environment(aws, key, home):
    user, role = aws.add_user(), aws.add_role("r")
    write(home / ".aws/config", f"[profile p]\nrole_arn={role.arn}\ncredential_source=Environment\n")
    with KmsProbe(uri_of(key), environment(aws, user, HOME=str(home)), profile="p") as probe:
        assert probe.ok("wrap")["access"]["principal"] == role.arn


def test_web_identity(aws, key, tmp_path):
    role = aws.add_role("web", web_identity="one.two.three")
    token = write(tmp_path / "token", "one.two.three")
    variables = environment(aws, AWS_ROLE_ARN=role.arn, AWS_WEB_IDENTITY_TOKEN_FILE=str(token))
    with KmsProbe(uri_of(key), variables) as probe:
        assert probe.ok("wrap")["access"] == {"principal": role.arn, "source": "web-identity"}
    token.write_text("forged")
    with KmsProbe(uri_of(key), variables) as probe:
        assert "InvalidIdentityToken" in probe.ask("wrap")["text"]


def test_web_identity_is_tried_again_when_the_provider_cannot_be_reached(aws, key, tmp_path):
    role = aws.add_role("web", web_identity="t")
    token = write(tmp_path / "token", "t")
    variables = environment(aws, AWS_ROLE_ARN=role.arn, AWS_WEB_IDENTITY_TOKEN_FILE=str(token))
    aws.fail("AssumeRoleWithWebIdentity", sts_error("IDPCommunicationError"))
    with KmsProbe(uri_of(key), variables) as probe:
        probe.ok("wrap")
    assert aws.counts["AssumeRoleWithWebIdentity"] == 2


def test_credential_process(aws, key, home):
    session = aws.add_session("arn:aws:iam::1:role/process")
    answer = write(home / "answer", json.dumps({
        "Version": 1, "AccessKeyId": session.access_key_id, "SecretAccessKey": session.secret,
        "SessionToken": session.token, "Expiration": "2099-01-01T00:00:00Z"}))
    write(home / ".aws/config", f'[default]\ncredential_process = /bin/cat "{answer}"\n')
    with KmsProbe(uri_of(key), profile_environment(aws, home)) as probe:
        assert probe.ok("wrap")["access"]["source"] == "credential-process"
    write(home / ".aws/config", "[default]\ncredential_process = /bin/false; touch /tmp/never\n")
    with KmsProbe(uri_of(key), profile_environment(aws, home)) as probe:
        assert probe.ask("wrap")["errno"] == "EKEYEXPIRED"
    assert not os.path.exists("/tmp/never")


def test_instance_metadata(aws, key, metadata):
    metadata.credentials = aws.add_session("arn:aws:iam::1:role/instance")
    variables = environment(aws, AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url + "/")
    with KmsProbe(uri_of(key), variables) as probe:
        assert probe.ok("wrap")["access"] == {"principal": "backup-role", "source": "instance"}
        probe.ok("wrap")
    assert len(metadata.requests) == 3


def test_instance_metadata_with_an_error_inside(aws, key, metadata):
    metadata.reply = {"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}
    variables = environment(aws, AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
    with KmsProbe(uri_of(key), variables) as probe:
        assert "EC2 cannot assume the role" in probe.ask("wrap")["text"]


def test_instance_metadata_that_hangs_costs_a_second(aws, key, metadata):
    metadata.fail(None, hang(3), times=None)
    variables = environment(aws, AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
    with KmsProbe(uri_of(key), variables) as probe:
        start = time.monotonic()
        reply = probe.ask("wrap")
        assert reply["errno"] == "EKEYEXPIRED" and "hop limit" in reply["advice"]
        assert time.monotonic() - start < 4


def test_container_token_file_is_read_anew(aws, key, metadata, tmp_path):
    metadata.credentials = aws.add_session("arn:aws:iam::1:role/pod", seconds=600)
    metadata.container_token = "first"
    token = write(tmp_path / "token", "first\n")
    variables = environment(aws, AWS_CONTAINER_CREDENTIALS_FULL_URI=metadata.url + "/creds",
                            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token))
    with KmsProbe(uri_of(key), variables) as probe:
        assert probe.ok("wrap")["access"]["source"] == "container"
        # Refused credentials make the endpoint be asked again, with the token of now.
        metadata.credentials = aws.add_session("arn:aws:iam::1:role/pod")
        metadata.container_token = "second"
        token.write_text("second")
        aws.fail(None, error("ExpiredTokenException"))
        assert probe.ok("wrap")["attempts"] == 1
    assert metadata.counts["GET /creds"] == 2


def test_container_credentials_go_nowhere_else(aws, key):
    variables = environment(aws, AWS_CONTAINER_CREDENTIALS_FULL_URI="http://192.0.2.1/creds", AWS_CONTAINER_AUTHORIZATION_TOKEN="t")
    with KmsProbe(uri_of(key), variables) as probe:
        assert probe.ask("wrap")["errno"] == "EINVAL"
    variables |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nb: c"}
    with KmsProbe(uri_of(key), variables) as probe:
        assert "line end" in probe.ask("wrap")["text"]


def test_order_of_the_chain(aws, key, home, tmp_path):
    user, other = aws.add_user(), aws.add_user("arn:aws:iam::1:user/other")
    write(home / ".aws/credentials", f"[default]\naws_access_key_id={other.access_key_id}\naws_secret_access_key={other.secret}\n"
          f"[named]\naws_access_key_id={other.access_key_id}\naws_secret_access_key={other.secret}\n")
    variables = environment(aws, user, HOME=str(home))
    with KmsProbe(uri_of(key), variables) as probe:
        assert probe.ok("wrap")["access"]["source"] == "environment"
    with KmsProbe(uri_of(key), {**variables, "AWS_PROFILE": "named"}) as probe:
        assert probe.ok("wrap")["access"]["source"] == "environment"
    with KmsProbe(uri_of(key), variables, profile="named") as probe:
        assert probe.ok("wrap")["access"]["source"] == "profile"
    with KmsProbe(uri_of(key), variables, auth="profile") as probe:
        assert probe.ok("wrap")["access"]["principal"] == other.access_key_id
    with KmsProbe(uri_of(key), variables, auth="web-identity") as probe:
        assert probe.ask("wrap")["errno"] == "EKEYEXPIRED"
    with KmsProbe(uri_of(key), variables, auth="magic") as probe:
        assert probe.opened["errno"] == "EINVAL"


def test_expired_session_is_refreshed_from_the_file(aws, key, home):
    def store(session):
        write(home / ".aws/credentials", f"[default]\naws_access_key_id={session.access_key_id}\n"
              f"aws_secret_access_key={session.secret}\naws_session_token={session.token}\n")

    old = aws.add_session("arn:aws:iam::1:role/file")
    store(old)
    with KmsProbe(uri_of(key), profile_environment(aws, home)) as probe:
        probe.ok("wrap")
        old.expires = aws.now() - 1
        store(aws.add_session("arn:aws:iam::1:role/file"))
        assert probe.ok("wrap")["attempts"] == 1


def test_expired_session_without_another_is_told(aws, key, home):
    session = aws.add_session("arn:aws:iam::1:role/file", seconds=-1)
    with KmsProbe(uri_of(key), environment(aws, session)) as probe:
        reply = probe.ask("wrap")
        assert (reply["errno"], reply["state"]) == ("EKEYEXPIRED", "credentials-expired")
        assert reply["service_code"] == "ExpiredTokenException" and reply["attempts"] == 1
    assert aws.counts["GenerateDataKey"] == 1


def test_roles_are_assumed_again_ahead_of_their_end(aws, key):
    user, role = aws.add_user(), aws.add_role("short", duration_s=2)
    with KmsProbe(uri_of(key), environment(aws, user), role_arn=role.arn) as probe:
        reply = probe.ask("wrap")
        # Two seconds are less than the margin: they count as expired at once.
        assert reply["errno"] == "EKEYEXPIRED"
        role.duration_s = 600
        probe.ok("wrap")
        # Within a quarter of an hour of their end they are renewed, though not at every call.
        probe.ok("wrap")
        assert aws.counts["AssumeRole"] == 2


def test_wrong_secret_is_a_matter_of_credentials(aws, key, user):
    user.secret = user.secret + "x"
    variables = environment(aws, user)
    user.secret = user.secret[:-1]
    with KmsProbe(uri_of(key), variables) as probe:
        reply = probe.ask("wrap")
        assert (reply["errno"], reply["state"]) == ("EKEYEXPIRED", "credentials-expired")
        assert reply["service_code"] == "InvalidSignatureException"


def test_no_secret_is_told(aws, key):
    user = aws.add_user()
    session = aws.add_session("arn:aws:iam::1:role/x")
    for identity in (user, session):
        with KmsProbe(uri_of(key), environment(aws, identity)) as probe:
            slot = probe.ok("wrap")
            probe.ok("unwrap", slot)
            aws.deny()
            probe.ask("unwrap", slot)
            aws.denied.clear()
            aws.fail(None, status(503), times=None)
            probe.ask("timeout 300")
            probe.ask("wrap")
            aws.heal()
            text = probe.output
        for word in (identity.secret, identity.token, "Signature=", "AWS4-HMAC"):
            assert not word or word not in text
