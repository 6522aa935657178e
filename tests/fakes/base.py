# SPDX-License-Identifier: Apache-2.0
"""What every fake service has: a server with TLS in a thread, counted requests, and faults on demand.

A fake subclasses Fake and answers in handle(); what breaks the protocol is answered as the real service
answers it, and written to `complaints`, which the fixture checks after the test:

    fake.fail("unwrapkey", status(503), times=3)
    fake.count("unwrapkey")
"""

import collections
import dataclasses
import email.utils
import http.server
import json
import os
import socket
import ssl
import struct
import threading
import time
import urllib.parse


@dataclasses.dataclass
class Request:
    """What a client sent."""

    method: str
    path: str                # without the query
    query: dict
    headers: object          # case-insensitive mapping
    body: bytes
    client_certificate: dict

    def json(self):
        return json.loads(self.body)

    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))


@dataclasses.dataclass
class Reply:
    """What the client gets.  A fault may change it, or how it is sent."""

    status: int = 200
    body: object = b""       # bytes, or anything that JSON can express
    headers: dict = dataclasses.field(default_factory=dict)
    cut: int = None          # send only so many bytes of the body, then close
    reset: bool = False      # close with RST instead of answering

    def encoded(self):
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


# Faults: functions of (request, answer) that return a Reply; answer() is what the fake would have said.

def status(code, body=None, headers=None):
    """The service answers with this status."""
    return lambda request, answer: Reply(code, body if body is not None else {}, dict(headers or {}))


def hang(seconds):
    """No answer for so long."""
    def fault(request, answer):
        time.sleep(seconds)
        return answer()
    return fault


def reset():
    """The connection is reset before an answer."""
    return lambda request, answer: Reply(reset=True)


def half_a_body():
    """The connection ends in the middle of the body."""
    def fault(request, answer):
        reply = answer()
        reply.cut = len(reply.encoded()) // 2
        return reply
    return fault


def huge_body(size=10 << 20):
    """A body that nobody needs to read."""
    return lambda request, answer: Reply(200, b'{"x":"' + b"a" * size + b'"}')


def html(code=502):
    """A proxy's page instead of the service's answer."""
    return lambda request, answer: Reply(code, b"<html><body>Bad gateway</body></html>",
                                         {"Content-Type": "text/html"})


def redirect(url, code=307):
    """Go elsewhere."""
    return lambda request, answer: Reply(code, b"", {"Location": url})


def change(function):
    """The fake's own answer, with its decoded body changed in place."""
    def fault(request, answer):
        reply = answer()
        if reply.status == 200:
            function(reply.body)
        return reply
    return fault


def hang_up(handler):
    """Close at once, without the end that TLS or the server would send."""
    handler.close_connection = True
    os.close(handler.connection.detach())


class Fake:
    """A server on a port of its own.  Use as a context manager."""

    def __init__(self, authority=None, *names, client_ca=None):
        self.lock = threading.RLock()
        self.clock_offset_s = 0    # of the service's clock
        self.requests = []
        self.complaints = []
        self.faults = []     # [operation or None, fault, times left or None]
        self.counts = collections.Counter()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30
            disable_nagle_algorithm = True

            def date_time_string(self, timestamp=None):
                return email.utils.formatdate(fake.now(), usegmt=True)

            def do_any(self):
                fake.serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_any

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http{'s' if authority else ''}://{self.host}"
        self.ca_file = authority.ca_file if authority else None
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(*authority.issue(f"server-{self.port}", "127.0.0.1", "localhost", *names))
            if client_ca:
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(client_ca)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        """The service is down from now on: connections are refused."""
        self.server.shutdown()
        self.server.server_close()

    # For subclasses.

    def now(self):
        """The service's clock, which its Date shows."""
        return time.time() + self.clock_offset_s

    def operation(self, request):
        """A word for what is asked, to count it and to choose faults."""
        return request.path

    def handle(self, request):
        raise NotImplementedError

    def complain(self, text):
        """The client broke the protocol."""
        self.complaints.append(text)

    # For tests.

    def fail(self, operation, fault, times=1):
        """The next TIMES requests (None: all) of an operation (None: any) meet this fault."""
        with self.lock:
            self.faults.append([operation, fault, times])

    def heal(self):
        with self.lock:
            self.faults.clear()

    def count(self, operation):
        return self.counts[operation]

    # Serving.

    def take_fault(self, operation):
        with self.lock:
            for entry in self.faults:
                if entry[0] not in (None, operation) or entry[2] == 0:
                    continue
                if entry[2] is not None:
                    entry[2] -= 1
                return entry[1]
        return None

    def answer(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        size = int(handler.headers.get("Content-Length") or 0)
        certificate = (handler.connection.getpeercert()
                       if isinstance(handler.connection, ssl.SSLSocket) else None)
        request = Request(handler.command, urllib.parse.unquote(parts.path),
                          dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True)),
                          handler.headers, handler.rfile.read(size), certificate or {})
        operation = self.operation(request)
        with self.lock:
            self.requests.append(request)
            self.counts[operation] += 1
        fault = self.take_fault(operation)
        if fault:
            return fault(request, lambda: self.handle(request))
        with self.lock:
            return self.handle(request)

    def serve(self, handler):
        reply = self.answer(handler)
        if reply.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            hang_up(handler)
            return
        body = reply.encoded()
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if reply.cut is not None:
            handler.wfile.write(body[:reply.cut])
            handler.wfile.flush()
            hang_up(handler)
            return
        handler.wfile.write(body)
