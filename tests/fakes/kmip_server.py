# SPDX-License-Identifier: Apache-2.0
"""A real KMIP server, PyKMIP, with mutual TLS on a port of its own; and keys on it."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

from fakes.pki import Authority


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class KmipServer:
    """Use as a context manager."""

    def __init__(self, directory):
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.authority = Authority(directory)
        self.certificate, self.key = self.authority.issue("localhost", "localhost", "127.0.0.1")
        self.client_certificate, self.client_key = self.authority.issue("backup", client=True)
        self.client_config = directory / "client.conf"
        self.client_config.write_text("[client]\n")
        self.port = free_port()
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        with open(self.directory / "output", "w") as output:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", Path(__file__).with_name("pykmip_server.py"), self.directory, str(self.port),
                 self.certificate, self.key, self.authority.ca_file],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self.process.poll() is None and time.monotonic() < deadline, (
                self.directory / "output").read_text()
            time.sleep(0.05)

    def stop(self):
        # It has children of its own.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def settings(self):
        return {"ca_file": str(self.authority.ca_file), "client_certificate": str(self.client_certificate),
                "client_key": str(self.client_key)}

    def uri(self, uid, rest=""):
        return f"kmip://localhost:{self.port}/{uid}{rest}"

    def key_id(self, uid):
        return f"kmip:localhost:{self.port}/{uid}"

    @contextlib.contextmanager
    def client(self, certificate=None, key=None):
        """PyKMIP's own client."""
        from kmip.core import enums
        from kmip.pie.client import ProxyKmipClient
        with ProxyKmipClient(hostname="127.0.0.1", port=self.port, cert=str(certificate or self.client_certificate),
                             key=str(key or self.client_key), ca=str(self.authority.ca_file),
                             ssl_version="PROTOCOL_TLSv1_2", config_file=str(self.client_config),
                             kmip_version=enums.KMIPVersion.KMIP_1_4) as client:
            yield client

    def add_key(self, active=True, bits=256):
        from kmip.core import enums
        with self.client() as client:
            uid = client.create(enums.CryptographicAlgorithm.AES, bits)
            if active:
                client.activate(uid)
        return uid

    def activate(self, uid):
        with self.client() as client:
            client.activate(uid)

    def deactivate(self, uid, compromised=False):
        from kmip.core import enums
        reason = "KEY_COMPROMISE" if compromised else "CESSATION_OF_OPERATION"
        with self.client() as client:
            client.revoke(enums.RevocationReasonCode[reason], uid)

    def destroy(self, uid):
        with self.client() as client:
            client.destroy(uid)


assert hasattr(ssl, "wrap_socket"), "PyKMIP needs Python 3.11 or older"
