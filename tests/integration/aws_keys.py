# SPDX-License-Identifier: Apache-2.0
"""Keys of a fake AWS that a mount depends on, and what a test sees of a mount.

    with keys_of(authority, directory, sandbox) as aws:
        one, two = aws.add("one"), aws.add("two")
        volume = sandbox.init("--key", one.uri)
        one.key.state = "Disabled"
"""

import contextlib
import errno
import os
import time

from fakes.base import reset
from fakes.fake_aws import FakeAws
from fakes.pki import write_secret

FAST = ("key_poll=1s", "key_timeout=2s")
SLACK_S = 3    # beyond poll interval and confirmation, for a slow machine


class CustomerKey:
    """One key with its own user, so that credentials can expire one by one."""

    def __init__(self, fake, name, directory):
        self.fake, self.name = fake, name
        self.key, self.user = fake.add_key(name), fake.add_user(f"arn:aws:iam::111122223333:user/{name}")
        self.uri = f"awskms:///{self.key.arn}"
        self.secret_file = write_secret(directory / f"secret-{name}", self.user.secret)

    def section(self):
        return (f'[key "{self.name}"]\nuri = {self.uri}\nendpoint = {self.fake.url}\nca_file = {self.fake.ca_file}\n'
                f"access_key_id = {self.user.access_key_id}\nsecret_access_key_file = {self.secret_file}\n")

    # What may happen to it.

    def disable(self):
        self.key.state = "Disabled"

    def schedule_deletion(self):
        self.key.state = "PendingDeletion"

    def delete(self):
        del self.fake.keys[self.key.region, self.key.key_id]

    def deny(self):
        self.fake.deny(principal=self.user.principal)

    def expire(self):
        self.user.expires = time.time() - 60

    def silence(self):
        self.fake.fail(None, reset(), times=None)

    def restore(self):
        self.key.state, self.user.expires = "Enabled", None
        self.fake.keys[self.key.region, self.key.key_id] = self.key
        self.fake.denied.clear()
        self.fake.heal()


class Keys:
    def __init__(self, fake, directory, sandbox):
        self.fake, self.directory, self.sandbox = fake, directory, sandbox
        self.sections, self.settings = [], "[global]\n"

    def add(self, name):
        key = CustomerKey(self.fake, name, self.directory)
        self.sections.append(key.section())
        self.configure()
        return key

    def configure(self, **settings):
        """Set keys of [global], beside the sections."""
        self.settings += "".join(f"{name} = {value}\n" for name, value in settings.items())
        self.sandbox.configure(self.settings + "".join(self.sections))


@contextlib.contextmanager
def keys_of(authority, directory, sandbox):
    with FakeAws(authority) as fake:
        yield Keys(fake, directory, sandbox)


# What a test sees.

def outcome(function, *arguments):
    """"" or the name of the error."""
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""


def read(path):
    """The first byte, or the name of the error; not through a cache of ours."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1)
    except OSError as error:
        return errno.errorcode[error.errno]


def create(path):
    return outcome(lambda: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)))


def until(condition, what, timeout_s=20):
    """Wait, and how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout_s, f"{what}: not within {timeout_s} s"
        time.sleep(0.02)
    return time.monotonic() - start


def status(mount):
    """(the mount, its keys by Encryption Key ID) as `status` tells them."""
    volume = mount.sandbox.json("status", mount.volume.backing)["volumes"][0]
    return volume["mounts"][0], {key["key_id"]: key for key in volume["keys"]}


def state(mount, key):
    return status(mount)[1][key.key.arn]["state"]
