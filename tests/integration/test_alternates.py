# SPDX-License-Identifier: Apache-2.0
"""Two slots: which of them opens a data key when the first service is dead, silent, or says no.

Against our own fake of AWS KMS; two of them are two regions.
"""

import contextlib
import errno
import os
import subprocess
import time

import pytest
from fakes.base import hang
from fakes.fake_aws import FakeAws
from fakes.pki import write_secret
from snapcrypt import wait_for

READY_S = 3
SILENT_S = READY_S + 1   # hedge_after is 2 s; the rest is for a program with sanitizers on a busy machine


class Region:
    """One fake with one key and one user; its [key] section."""

    def __init__(self, fake, directory, name):
        self.fake, self.name = fake, name
        self.key, self.user = fake.add_key("backup"), fake.add_user()
        self.uri = f"awskms:///{self.key.arn}"
        self.secret = write_secret(directory / f"{name}-secret", self.user.secret)

    def section(self, name=None, **more):
        settings = {"uri": self.uri, "endpoint": self.fake.url, "ca_file": self.fake.ca_file,
                    "access_key_id": self.user.access_key_id, "secret_access_key_file": self.secret, **more}
        return "\n".join([f'[key "{name or self.name}"]', *(f"{key} = {value}" for key, value in settings.items()), ""])


@pytest.fixture
def regions(authority, tmp_path):
    with contextlib.ExitStack() as stack:
        yield [Region(stack.enter_context(FakeAws(authority)), tmp_path, name) for name in ("first", "second")]


@pytest.fixture
def volume(sandbox, regions):
    """A volume with one snapshot "a", under both keys; the first is the primary."""
    first, second = regions
    sandbox.configure(first.section() + second.section() + f"[global]\nalternate_key = {second.uri}\n")
    private, public = sandbox.root / "recovery.key", sandbox.root / "recovery.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    private.chmod(0o600)
    made = sandbox.init("--key", first.uri, "--recovery-key", public)
    made.recovery_key = private
    with made.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"content")
    sandbox.allow("primary unreachable|primary key answers|unreachable")
    return made


def mounted_within(volume, seconds, *options, **more):
    started = time.monotonic()
    mount = volume.mount(*options, **more)
    took = time.monotonic() - started
    assert took < seconds, f"ready after {took:.1f} s"
    return mount


def keys_of(mount):
    status = mount.sandbox.json("status", mount.path)["volumes"][0]
    state = next(entry["state"] for entry in status["mounts"] if entry["mountpoint"] == str(mount.path))
    return state, {key["key_id"]: key for key in status["keys"]}


@pytest.mark.parametrize("dead, options", [("down", ("ro",)), ("down", ("ro", "snapshot=a")), ("down", ()),
                                           ("silent", ("ro",)), ("silent", ())])
def test_a_dead_first_service(volume, regions, dead, options):
    first, second = regions
    if dead == "down":
        first.fake.stop()
    else:
        first.fake.fail(None, hang(20), times=None)
    mount = mounted_within(volume, READY_S if dead == "down" else SILENT_S, *options)
    top = mount.path if "snapshot=a" in options else mount.path / "a"
    assert (top / "file").read_bytes() == b"content"
    assert "primary unreachable" in mount.log()
    assert second.fake.count("Decrypt") >= 1
    state, keys = keys_of(mount)
    assert state == "degraded" and keys[first.key.arn]["state"] == "unreachable"
    assert "primary unreachable" in keys[first.key.arn]["message"]
    if not options:
        with open(mount.path / "a" / "file", "ab") as file:
            file.write(b" and more")
        assert (mount.path / "a" / "file").read_bytes() == b"content and more"
    mount.umount()


@pytest.mark.parametrize("state, code", [("Disabled", 12), ("PendingDeletion", 12), ("deleted", 17)])
def test_a_no_of_the_first_decides(volume, regions, state, code):
    first, second = regions
    if state == "deleted":
        first.fake.keys.clear()
    else:
        first.key.state = state
    before = second.fake.count("Decrypt")
    assert first.key.arn in volume.mount_refused(code, "ro")
    assert second.fake.count("Decrypt") == before
    # Recovery is asked for by name, and reads only.
    volume.mount_refused(2, arguments=("--recovery-key", volume.recovery_key))
    with volume.mount("ro", arguments=("--recovery-key", volume.recovery_key), env=None) as mount:
        assert (mount.path / "a" / "file").read_bytes() == b"content"
        with pytest.raises(OSError) as refusal:
            (mount.path / "a" / "new").write_bytes(b"x")
        assert refusal.value.errno == errno.EROFS
    assert "recovery-key-used" in (volume.sandbox.state / "audit.log").read_text()
    destination = volume.sandbox.root / "restored"
    volume.run("restore", "a", destination, "--unsealed", "--recovery-key", volume.recovery_key)
    assert (destination / "file").read_bytes() == b"content"


def test_a_no_that_comes_late_withdraws_what_an_alternate_opened(volume, regions):
    first, _ = regions
    first.key.state = "Disabled"
    first.fake.fail("Decrypt", hang(4), times=1)
    mount = mounted_within(volume, SILENT_S, "ro", "key_poll=1s")
    volume.sandbox.allow("disabled")

    def refusal():
        try:
            os.close(os.open(mount.path / "a" / "file", os.O_RDONLY))
        except OSError as error:
            return errno.errorcode[error.errno]
        return None

    assert refusal() is None
    wait_for(lambda: refusal() == "EKEYREVOKED", "the data key is withdrawn", timeout_s=15)
    mount.umount()


def test_a_slow_primary_still_decides(volume, regions):
    """An answer within hedge_after is waited for; an alternate that was asked in vain is not used."""
    first, second = regions
    first.fake.fail("Decrypt", hang(1), times=1)
    before = second.fake.count("Decrypt")
    with volume.mount("ro", "snapshot=a") as mount:
        assert (mount.path / "file").read_bytes() == b"content"
        assert "primary unreachable" not in mount.log()
    assert second.fake.count("Decrypt") == before


def test_alternates_are_asked_in_the_configured_order(sandbox, authority, tmp_path):
    with contextlib.ExitStack() as stack:
        first, second, third = (Region(stack.enter_context(FakeAws(authority)), tmp_path, name)
                                for name in ("first", "second", "third"))
        sections = first.section() + second.section() + third.section()
        settings = f"[global]\nalternate_key = {second.uri} {third.uri}\n"
        sandbox.configure(sections + settings)
        volume = sandbox.init("--key", first.uri)
        with volume.mount() as mount:
            (mount.path / "a").mkdir()
        sandbox.allow("unreachable")
        first.fake.stop()
        for order, asked in (("", second), ("slot_order = third\n", third)):
            sandbox.configure(sections + settings + order)
            before = {region.name: region.fake.count("Decrypt") for region in (second, third)}
            with volume.mount("ro", "snapshot=a"):
                pass
            asked_now = {region.name for region in (second, third)
                         if region.fake.count("Decrypt") > before[region.name]}
            assert asked_now == {asked.name}


def test_the_section_that_wrote_a_slot_opens_it(sandbox, regions, tmp_path):
    """Two sections name one key with credentials of their own; each slot is opened with those that wrote it."""
    first, _ = regions
    other = first.fake.add_user()
    secret = write_secret(tmp_path / "other-secret", other.secret)
    mine = first.section("mine")
    theirs = first.section("theirs", access_key_id=other.access_key_id, secret_access_key_file=secret)
    sandbox.configure(theirs)
    volume = sandbox.init("--key", first.uri)
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"content")
    sandbox.configure(mine + theirs)
    asked = len(first.fake.requests)
    with volume.mount("ro") as mount:
        assert (mount.path / "a" / "file").read_bytes() == b"content"
        # Both are keys of users, which do not expire: told once, whatever was asked how often.
        assert mount.log().count("prefer a role") == 1
    used = [request.headers["Authorization"] for request in first.fake.requests[asked:]
            if request.headers["X-Amz-Target"].endswith("Decrypt")]
    assert used and all(other.access_key_id in header for header in used)
    for command in (["keys", "test", first.uri], ["init", sandbox.directory("other"), "--key", first.uri],
                    ["restore", volume.backing, "a", sandbox.root / "restored", "--unsealed"]):
        assert sandbox.run(*command).stderr.count("prefer a role") == 1, command
    assert "prefer a role" not in sandbox.run("keys", "list").stderr    # nobody was asked


def test_a_slot_that_nothing_here_names_is_shown_and_never_called(sandbox, volume, regions, binary):
    first, second = regions
    sandbox.configure("")
    for path in (sandbox.state / "keys.json", *sandbox.state.glob("volumes/*/pinned.json")):
        path.unlink()
    before = len(first.fake.requests), len(second.fake.requests)
    assert first.key.arn in volume.run("keys list").stdout
    assert first.key.arn in volume.run("snapshot show", "a").stdout
    assert (len(first.fake.requests), len(second.fake.requests)) == before
