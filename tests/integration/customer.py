# SPDX-License-Identifier: Apache-2.0
"""A customer of our fake of AWS KMS: a key, a user who may use it, and configurations that lead there."""

from fakes.pki import write_secret


class Customer:
    def __init__(self, fake, directory):
        self.fake, self.directory = fake, directory
        self.key = fake.add_key("backup")
        self.uri = f"awskms:///{self.key.arn}"
        self.user = fake.add_user()
        self.secret_file = write_secret(directory / "secret", self.user.secret)

    def section(self, **credentials):
        """The [key] section; other credentials instead of the user's own."""
        lines = {"uri": self.uri, "endpoint": self.fake.url, "sts_endpoint": self.fake.url,
                 "ca_file": self.fake.ca_file,
                 **(credentials or {"access_key_id": self.user.access_key_id,
                                    "secret_access_key_file": self.secret_file})}
        return "\n".join(['[key "aws"]', *(f"{name} = {value}" for name, value in lines.items()), ""])

    def configuration(self, **settings):
        """A configuration file with these in [global]."""
        return "\n".join(["[global]", f"key = {self.uri}",
                          *(f"{name} = {value}" for name, value in settings.items()), "", self.section()])
