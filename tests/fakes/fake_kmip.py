# SPDX-License-Identifier: Apache-2.0
"""A KMIP server that says what it is told to: for replies that no real server gives on demand.

    with FakeKmip(server) as fake:
        fake.answers["Encrypt"] = refuse(0x05)
"""

import collections
import contextlib
import socket
import ssl
import struct
import threading
import time

OPERATIONS = {0x0a: "Get", 0x0b: "GetAttributes", 0x1e: "DiscoverVersions", 0x1f: "Encrypt", 0x20: "Decrypt"}
STRUCTURE, INTEGER, ENUMERATION, TEXT, BYTES = 1, 2, 5, 7, 8


def item(tag, kind, value):
    """One item; VALUE is bytes, a text, a number, or a list of items."""
    if kind == STRUCTURE:
        value = b"".join(value)
    elif kind in (INTEGER, ENUMERATION):
        value = struct.pack(">I", value)
    elif kind == TEXT:
        value = value.encode()
    return struct.pack(">I", tag << 8 | kind) + struct.pack(">I", len(value)) + value + bytes(-len(value) % 8)


def version(major, minor):
    return item(0x420069, STRUCTURE, [item(0x42006a, INTEGER, major), item(0x42006b, INTEGER, minor)])


def message(operation, body, batch=1):
    return item(0x42007b, STRUCTURE, [
        item(0x42007a, STRUCTURE, [version(1, 4), item(0x42000d, INTEGER, batch)]),
        item(0x42000f, STRUCTURE, [item(0x42005c, ENUMERATION, operation), *body])])


def succeed(*payload):
    """An answer with these items."""
    return lambda operation, request: message(operation, [
        item(0x42007f, ENUMERATION, 0), item(0x42007c, STRUCTURE, payload)])


def refuse(reason, words="no"):
    return lambda operation, request: message(operation, [
        item(0x42007f, ENUMERATION, 1), item(0x42007e, ENUMERATION, reason), item(0x42007d, TEXT, words)])


def uid(text="k"):
    return item(0x420094, TEXT, text)


def state(value):
    return item(0x420008, STRUCTURE, [item(0x42000a, TEXT, "State"), item(0x42000b, ENUMERATION, value)])


def values(request, tag):
    """Every text and byte string with that tag in a request, wherever it is."""
    found, at = [], request.find(struct.pack(">I", tag << 8)[:3])
    while at >= 0:
        size = struct.unpack(">I", request[at + 4:at + 8])[0]
        found.append(request[at + 8:at + 8 + size])
        at = request.find(struct.pack(">I", tag << 8)[:3], at + 8)
    return found


class FakeKmip:
    """Answers by operation: answers[name] is a function of (operation, request), or bytes; None: it hangs up."""

    def __init__(self, authority, certificate, key):
        self.answers = {"DiscoverVersions": succeed(version(1, 4), version(1, 2), version(3, 0)),
                        "GetAttributes": succeed(uid(), state(2))}
        self.requests = []
        self.counts = collections.Counter()
        self.connections = 0
        self.is_closing_idle = False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.load_verify_locations(authority.ca_file)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def uri(self, rest=""):
        return f"kmip://localhost:{self.port}/k{rest}"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError, struct.error):
            with self.context.wrap_socket(connection, server_side=True) as stream:
                self.connections += 1
                while self._answer(stream):
                    if self.is_closing_idle:
                        return

    def _read(self, stream, size):
        data = b""
        while len(data) < size:
            piece = stream.recv(size - len(data))
            if not piece:
                raise OSError("closed")
            data += piece
        return data

    def _answer(self, stream):
        head = self._read(stream, 8)
        request = head + self._read(stream, struct.unpack(">I", head[4:])[0])
        operation = struct.unpack(">I", values(request, 0x42005c)[0])[0]
        name = OPERATIONS[operation]
        self.requests.append(request)
        self.counts[name] += 1
        answer = self.answers.get(name)
        if callable(answer):
            answer = answer(operation, request)
        if answer is None:
            return False
        stream.sendall(answer)
        return True


def hang(seconds):
    def answer(operation, request):
        time.sleep(seconds)
    return answer
