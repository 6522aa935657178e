# SPDX-License-Identifier: Apache-2.0
"""SoftHSM tokens, each test its own: a directory, a configuration, a PIN; and the module in front of it that fails as told."""

import os
import subprocess
from pathlib import Path

from fakes.pki import write_secret

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN, SO_PIN = "pin-4711", "so-pin-4711"


class Token:
    """A token with label LABEL; environment() and settings() are what the program needs to use it."""

    def __init__(self, directory, label="backup", tokens=None):
        self.directory, self.label = directory, label
        self.tokens = tokens or directory / "tokens"
        self.tokens.mkdir(exist_ok=True)
        self.config = directory / "softhsm2.conf"
        self.config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\n"
                               "log.level = ERROR\n")
        self.pin_file = write_secret(directory / "pin", PIN + "\n")
        self.faults_file, self.calls_file = directory / "faults", directory / "calls"
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN)
        self.serial = self._tool("--list-slots").split("serial num")[1].split(":")[1].split()[0]

    def environment(self):
        return {"SOFTHSM2_CONF": str(self.config), "SOFTHSM_MODULE": MODULE,
                "PKCS11_FAULTS_FILE": str(self.faults_file), "PKCS11_CALLS_FILE": str(self.calls_file)}

    def settings(self, module=MODULE):
        return {"module": str(module), "pin_file": str(self.pin_file)}

    def uri(self, rest):
        return f"pkcs11:token={self.label};{rest}"

    def _run(self, *command):
        done = subprocess.run(command, env={**os.environ, **self.environment(), "PKCS11_PIN": PIN}, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _tool(self, *arguments):
        return self._run("pkcs11-tool", "--module", MODULE, *arguments)

    def _login(self, *arguments):
        return self._tool("--token-label", self.label, "--login", "--pin", PIN, *arguments)

    def set_aes(self, program, label, key_id, use="encrypt"):
        """A key that may be used for "encrypt", "wrap" or "none"; made, or changed."""
        self._run(Path(program).parent / "pkcs11_key", MODULE, self.label, label, key_id, use)

    def import_aes(self, label, key_id, file):
        """A key whose bytes are known."""
        self._login("--write-object", str(file), "--type", "secrkey", "--key-type", "AES:32", "--label", label, "--id", key_id)

    def add_rsa(self, label, key_id, bits=2048):
        self._login("--keypairgen", "--sensitive", "--key-type", f"rsa:{bits}", "--label", label, "--id", key_id)

    def delete(self, key_id, kind="secrkey"):
        self._login("--delete-object", "--type", kind, "--id", key_id)

    def key_id(self, key_id):
        return f"pkcs11:serial={self.serial};id=" + "".join(f"%{byte:02X}" for byte in bytes.fromhex(key_id))

    def fail(self, *lines):
        """Faults of the module in front: "C_Login 0xa4" and the like; none: it works."""
        self.faults_file.write_text("".join(line + "\n" for line in lines))

    def calls(self, function):
        return self.calls_file.read_text().split().count(function) if self.calls_file.exists() else 0


def faulty_module(program):
    """The module in front of SoftHSM, built beside the program under test."""
    return Path(program).parent / "token_with_faults.so"
