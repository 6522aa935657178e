# SPDX-License-Identifier: Apache-2.0
"""Every way in which a key can fail has its own state, errno, message and exit code (meta/NAMES.md).

Against our own fake of AWS KMS.
"""

import os
import signal
import time

import pytest

from aws_keys import FAST, keys_of, outcome, read, state, status, until
from schema import check

# What happens; state, errno, exit code, and words of the message and of the advice.
NO = [
    ("disable", "disabled", "EKEYREVOKED", 12, "is disabled", "aws kms enable-key"),
    ("schedule_deletion", "pending-deletion", "EKEYREVOKED", 12, "pending deletion", "aws kms cancel-key-deletion"),
    ("delete", "deleted", "ENOKEY", 17, "does not exist", ""),
    ("deny", "denied", "EACCES", 18, "not authorized", "allow kms:Decrypt"),
]
SILENCE = [
    ("expire", "credentials-expired", "EKEYEXPIRED", 19, "expired", "credentials"),
    ("silence", "unreachable", "EHOSTUNREACH", 13, "127.0.0.1", ""),
]


def names(cases):
    return pytest.mark.parametrize("what, word, error, code, told, advice", cases, ids=[case[1] for case in cases])


@pytest.fixture
def aws(sandbox, authority, tmp_path):
    with keys_of(authority, tmp_path, sandbox) as keys:
        yield keys
    assert not keys.fake.complaints


@pytest.fixture
def key(aws):
    return aws.add("one")


@pytest.fixture
def volume(sandbox, key):
    """With snapshots "a" and "b"."""
    volume = sandbox.init("--key", key.uri)
    with volume.mount() as mount:
        for name in "ab":
            (mount.path / name).mkdir()
            (mount.path / name / "file").write_bytes(name.encode() * 100_000)
    return volume


def message_of(sandbox, mount, key):
    """What status says about the key, and that status says it as its schema says."""
    output = check(sandbox.json("status", mount.volume.backing))
    one = next(one for one in output["volumes"][0]["keys"] if one["key_id"] == key.key.arn)
    return one["message"], one["advice"] or ""


@names(NO)
def test_a_definite_no_withdraws(sandbox, key, volume, what, word, error, code, told, advice):
    sandbox.allow("key")
    with volume.mount(*FAST) as mount:
        assert read(mount.path / "a" / "file") == b"a"
        getattr(key, what)()
        until(lambda: read(mount.path / "a" / "file") == error, "it is noticed")
        until(lambda: state(mount, key) == word, "status says it", 2)
        assert outcome(os.mkdir, mount.path / "c") == error
        message, help_text = message_of(sandbox, mount, key)
        assert key.key.key_id in message and told in message and advice in help_text
        assert read(mount.path / "b" / "file") == error    # not open before
        refused = volume.mount_refused(code, "ro", "snapshot=a", "key_timeout=2s")
        assert key.key.key_id in refused and told in refused and advice in refused
        key.restore()
        until(lambda: read(mount.path / "a" / "file") == b"a", "service returns")
        assert state(mount, key) == "enabled" and read(mount.path / "b" / "file") == b"b"
        key.restore()
    getattr(key, what)()
    assert told in volume.mount_refused(code, "key_timeout=2s")
    key.restore()


@names(SILENCE)
def test_silence_keeps_serving_what_is_open(sandbox, key, volume, what, word, error, code, told, advice):
    sandbox.allow("key")
    with volume.mount(*FAST) as mount:
        assert read(mount.path / "a" / "file") == b"a"
        getattr(key, what)()
        until(lambda: state(mount, key) == word, "status says it")
        about, keys = status(mount)
        assert about["state"] == "degraded" and not keys[key.key.arn]["withdrawn"]
        message, help_text = message_of(sandbox, mount, key)
        assert told in message and advice in help_text
        (mount.path / "a" / "more").write_bytes(b"+")
        assert (mount.path / "a" / "file").read_bytes() == b"a" * 100_000
        assert read(mount.path / "b" / "file") in (error, "ETIMEDOUT")    # not open before
        refused = volume.mount_refused(code, "ro", "snapshot=a", "key_timeout=2s")
        assert key.key.key_id in refused and told in refused and advice in refused
        key.restore()
        until(lambda: state(mount, key) == "enabled", "status says it")
        until(lambda: read(mount.path / "b" / "file") == b"b", "failures are not remembered for long", 8)


def test_another_no_replaces_the_first_and_silence_does_not(sandbox, aws, key, volume):
    sandbox.allow("key")
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        assert read(path) == b"a"
        key.disable()
        until(lambda: read(path) == "EKEYREVOKED", "it is noticed")
        key.delete()
        until(lambda: read(path) == "ENOKEY", "the other no is noticed")
        key.silence()
        time.sleep(4)
        assert read(path) == "ENOKEY" and state(mount, key) == "deleted"
        assert status(mount)[1][key.key.arn]["withdrawn"]
        key.restore()
        until(lambda: read(path) == b"a", "service returns")


def test_one_no_alone_withdraws_nothing(sandbox, aws, key, volume):
    """A slip of the service, or of a proxy before it."""
    from fakes.fake_aws import error
    with volume.mount("key_poll=1s") as mount:
        path = mount.path / "a" / "file"
        reader = os.open(path, os.O_RDONLY)
        before = aws.fake.count("Decrypt")
        for operation in ("Decrypt", "DescribeKey"):
            aws.fake.fail(operation, error("DisabledException", "is disabled."), times=1)
        end = time.monotonic() + 6
        while time.monotonic() < end:
            assert os.pread(reader, 1, 0) == b"a" and read(path) == b"a"
            time.sleep(0.1)
        assert aws.fake.count("Decrypt") >= before + 4
        assert state(mount, key) == "enabled"
        os.close(reader)


def test_a_no_is_remembered_until_a_yes(sandbox, aws, key, volume):
    """Also over a restart while the service is silent, and whatever another slot could open."""
    sandbox.allow("key")
    other = aws.add("other")
    aws.configure(alternate_key=other.uri)
    with volume.mount(*FAST) as mount:
        (mount.path / "c").mkdir()
        (mount.path / "c" / "file").write_bytes(b"c")
        key.disable()
        until(lambda: read(mount.path / "c" / "file") == "EKEYREVOKED", "it is noticed")
    aws.fake.identities.pop(key.user.access_key_id)    # from here on the first key cannot be asked
    assert "disabled since" in volume.mount_refused(12, "ro", "snapshot=c", "key_timeout=2s")

    aws.fake.identities[key.user.access_key_id] = key.user
    key.restore()
    with volume.mount("ro", "snapshot=c") as mount:
        assert read(mount.path / "file") == b"c"
    aws.fake.identities.pop(key.user.access_key_id)
    with volume.mount("ro", "snapshot=c", "key_timeout=2s") as mount:
        assert read(mount.path / "file") == b"c"


@pytest.mark.parametrize("how", ["SIGHUP", "keys test"])
def test_asking_at_once(sandbox, aws, key, volume, how):
    sandbox.allow("key")

    def ask():
        if how == "SIGHUP":
            os.kill(mount.pid(), signal.SIGHUP)
        else:
            sandbox.run("keys", "test", key.uri, code=None)

    with volume.mount("key_poll=1h") as mount:
        path = mount.path / "a" / "file"
        assert read(path) == b"a"
        key.disable()
        time.sleep(1)
        assert read(path) == b"a"
        ask()
        # The second question comes after five seconds, however often somebody asks meanwhile.
        start = time.monotonic()
        while time.monotonic() - start < 4:
            ask()
            assert read(path) == b"a"
            time.sleep(0.5)
        until(lambda: read(path) == "EKEYREVOKED", "it is noticed", 8)
        key.restore()
        ask()
        until(lambda: read(path) == b"a", "service returns at once", 3)


def test_one_question_for_each_key_and_interval(sandbox, aws, key, volume):
    with volume.mount("key_poll=2s") as mount:
        for name in "ab":
            assert read(mount.path / name / "file") == name.encode()
        time.sleep(0.5)
        before = aws.fake.count("Decrypt")
        time.sleep(7)
        assert 3 <= aws.fake.count("Decrypt") - before <= 4


def test_a_silent_service_hides_no_other_key(sandbox, authority, tmp_path, aws, key, volume):
    """Keys are asked at the same time."""
    from fakes.base import hang
    from services import vault
    sandbox.allow("key")
    with vault(authority, tmp_path) as other:
        aws.sections.append(other.section())
        aws.configure()
        with volume.mount("key_poll=1s", "key_timeout=8s") as mount:
            sandbox.run("keys", "set-default", volume.backing, other.uri)
            (mount.path / "c").mkdir()
            (mount.path / "c" / "file").write_bytes(b"c")
            assert read(mount.path / "a" / "file") == b"a"
            time.sleep(1.5)
            other.fake.fail(None, hang(20), times=None)
            key.disable()
            took_s = until(lambda: read(mount.path / "a" / "file") == "EKEYREVOKED", "it is noticed", 30)
            assert took_s < 19    # once waiting, then the confirmation
            assert read(mount.path / "c" / "file") == b"c"
            other.fake.heal()


def test_a_write_only_host_asks_by_generating(sandbox, aws, key):
    sandbox.allow("key")
    volume = sandbox.init("--key", key.uri)
    aws.fake.deny("Decrypt")
    aws.configure(role="write-only")
    with volume.mount(*FAST) as mount:
        path = mount.path / "a" / "file"
        path.parent.mkdir()
        path.write_bytes(b"a")
        before = aws.fake.count("Decrypt"), aws.fake.count("GenerateDataKey")
        time.sleep(2.5)
        assert aws.fake.count("Decrypt") == before[0] and aws.fake.count("GenerateDataKey") > before[1]
        key.disable()
        until(lambda: read(path) == "EKEYREVOKED", "it is noticed")
        assert outcome(os.mkdir, mount.path / "b") == "EKEYREVOKED"
        key.key.state = "Enabled"
        until(lambda: outcome(os.mkdir, mount.path / "b") == "", "service returns")
