# SPDX-License-Identifier: Apache-2.0
"""How often a key service is asked, and that it is asked again: against our own fake of AWS KMS.

The long forms are `scripts/campaign calls`.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from customer import Customer
from fakes.fake_aws import FakeAws, throttle
from schema import check
from snapcrypt import wait_for

FILES = int(os.environ.get("SNAPCRYPT_KEY_FILES", "10000"))
SNAPSHOTS = int(os.environ.get("SNAPCRYPT_KEY_SNAPSHOTS", "80"))
THREADS = 8


@pytest.fixture
def customer(authority, tmp_path):
    with FakeAws(authority) as fake:
        yield Customer(fake, tmp_path)
    assert not fake.complaints


@pytest.fixture
def host(sandbox, customer):
    sandbox.configure(customer.configuration())
    return sandbox


def calls(customer):
    """What was asked since the last time."""
    counts = {name: count for name, count in customer.fake.counts.items() if count}
    customer.fake.counts.clear()
    return counts


def test_ten_thousand_files_of_one_snapshot_cost_one_wrap_and_one_unwrap(host, customer):
    volume = host.init("--key", customer.uri)
    calls(customer)

    mount = volume.mount()
    # The default key wraps and unwraps, and one data key is made ahead.
    wait_for(lambda: sum(customer.fake.counts.values()) >= 3, "a spare key")
    time.sleep(0.5)
    assert calls(customer) == {"GenerateDataKey": 2, "Decrypt": 1}
    top = mount.path / "day"
    top.mkdir()
    for number in range(FILES):
        if number % 1000 == 0:
            (top / str(number // 1000)).mkdir()
        with open(top / str(number // 1000) / str(number), "wb") as file:
            file.write(b"%d" % number)
    mount.umount()
    # The snapshot took the spare; the next one was made in its place.
    assert calls(customer) == {"GenerateDataKey": 1}

    mount = volume.mount("ro", "snapshot=day")
    for number in range(FILES):
        with open(mount.path / str(number // 1000) / str(number), "rb") as file:
            assert file.read() == b"%d" % number
    mount.umount()
    assert calls(customer) == {"Decrypt": 1}


def test_a_mount_of_everything_opens_each_data_key_once(host, customer):
    volume = host.init("--key", customer.uri)
    mount = volume.mount()
    for name in "abc":
        (mount.path / name).mkdir()
        (mount.path / name / "file").write_bytes(name.encode())
    mount.umount()
    calls(customer)
    mount = volume.mount("ro")
    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(lambda name: (mount.path / name / "file").read_bytes(), "abc" * 8)) == {b"a", b"b", b"c"}
    mount.umount()
    assert calls(customer) == {"Decrypt": 3}


def test_a_poll_is_one_probe_whatever_is_open(host, customer):
    """A probe of AWS is a Decrypt, and DescribeKey for what Decrypt does not know yet."""
    volume = host.init("--key", customer.uri)
    mount = volume.mount()
    for name in "abcd":
        (mount.path / name).mkdir()
    mount.umount()
    mount = volume.mount("key_poll=1")
    for name in "abcd":
        os.listdir(mount.path / name)
    start = time.monotonic()
    calls(customer)
    wait_for(lambda: customer.fake.counts["Decrypt"] >= 3, "three polls")
    passed = time.monotonic() - start
    mount.umount()
    counts = calls(customer)
    assert counts["Decrypt"] <= passed + 2
    # Whether rotation is due is asked once a day, with a DescribeKey of its own.
    assert counts.get("DescribeKey", 0) <= counts["Decrypt"] + counts.get("GetKeyRotationStatus", 0) and "GenerateDataKey" not in counts


def make_snapshots(mount, names):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: (mount.path / name).mkdir(), names))


class Half:
    """Every second call is throttled, in whatever order they come; how many are under way at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = self.running = self.most = 0
        self.times = []

    def __call__(self, request, answer):
        with self.lock:
            self.count += 1
            is_refused = self.count % 2
            self.running += 1
            self.most = max(self.most, self.running)
            self.times.append(time.monotonic())
        time.sleep(0.002)
        reply = throttle()(request, answer) if is_refused else answer()
        with self.lock:
            self.running -= 1
        return reply


def test_snapshots_are_made_while_half_of_the_calls_are_throttled_and_listed_without_any(host, customer):
    volume = host.init("--key", customer.uri)
    mount = volume.mount()
    half = Half()
    customer.fake.fail(None, half, times=None)
    calls(customer)
    names = [f"s{number:04}" for number in range(SNAPSHOTS)]
    make_snapshots(mount, names)
    assert sorted(os.listdir(mount.path)) == names
    mount.umount()
    made = calls(customer)
    assert set(made) == {"GenerateDataKey"} and made["GenerateDataKey"] >= 2 * SNAPSHOTS - 2
    # Who is refused waits before the next attempt, so that calls are not many more than are needed.
    assert made["GenerateDataKey"] <= 2 * SNAPSHOTS + 20
    assert 1 <= half.most <= 2 * THREADS
    # Drawn waits: no two gaps between calls are alike to the millisecond more often than chance has it.
    gaps = [round((b - a) * 1000) for a, b in zip(half.times, half.times[1:])]
    assert len(set(gaps)) > 10, gaps

    listed = check(volume.json("snapshot list"))["snapshots"]
    assert [row["name"] for row in listed if row["name"] != "."] == names
    assert {row["encryption_key_id"] for row in listed if row["name"] != "."} == {customer.key.arn}
    volume.run("snapshot list")
    volume.run("snapshot show", names[0])
    volume.run("status")
    host.run("keys", "list")
    assert calls(customer) == {}


def test_a_clock_that_is_off_is_corrected_once(host, customer):
    volume = host.init("--key", customer.uri)
    customer.fake.clock_offset_s = 20 * 60
    calls(customer)
    host.run("keys", "test", customer.uri)
    assert calls(customer) == {"GenerateDataKey": 2, "Decrypt": 1}
    mount = volume.mount()
    wait_for(lambda: customer.fake.counts["GenerateDataKey"] >= 3, "a spare key")
    for name in "abc":
        (mount.path / name).mkdir()
        (mount.path / name / "file").write_bytes(b"x")
    mount.umount()
    counts = calls(customer)
    # Refused were the two that were under way before the first answer came; then nothing was.
    assert counts["GenerateDataKey"] <= 2 + 2 + 3 and counts["Decrypt"] == 1
    mount = volume.mount("ro", "snapshot=b")
    assert (mount.path / "file").read_bytes() == b"x"
    mount.umount()
    assert calls(customer) == {"Decrypt": 2}


def test_a_running_mount_takes_new_session_credentials_from_the_file(host, customer):
    credentials = customer.directory / "credentials"

    def store(session):
        credentials.write_text(f"[default]\naws_access_key_id={session.access_key_id}\n"
                               f"aws_secret_access_key={session.secret}\naws_session_token={session.token}\n")
        credentials.chmod(0o600)

    host.configure(customer.configuration().replace("access_key_id", "#").replace("secret_#_file", "#"))
    host.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
    host.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    first = customer.fake.add_session("arn:aws:sts::111122223333:assumed-role/backup/i-1")
    store(first)
    volume = host.init("--key", customer.uri)
    mount = volume.mount("key_poll=1")
    (mount.path / "before").mkdir()
    first.expires = customer.fake.now() - 1
    store(customer.fake.add_session("arn:aws:sts::111122223333:assumed-role/backup/i-1"))
    calls(customer)
    wait_for(lambda: customer.fake.counts["Decrypt"] >= 2, "polls")
    for name in ("after", "later"):
        (mount.path / name).mkdir()
        (mount.path / name / "file").write_bytes(b"x")
    mount.umount()
