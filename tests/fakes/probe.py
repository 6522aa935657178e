# SPDX-License-Identifier: Apache-2.0
"""Driving one key service through tests/tools/kms_call."""

import json
import os
import subprocess

ERRNO = {"EKEYREVOKED": -128, "ENOKEY": -126, "EACCES": -13, "EKEYEXPIRED": -127, "EKEYREJECTED": -129,
         "EHOSTUNREACH": -113, "ETIMEDOUT": -110, "EPROTO": -71, "EINVAL": -22, "EPERM": -1}


class Probe:
    """One [key] section: a URI, its settings, and the environment that the program sees."""

    def __init__(self, program, directory, uri, settings=None, section=None, timeout_ms=4000):
        self.program, self.directory, self.uri = program, directory, uri
        self.settings = dict(settings or {})
        self.section, self.timeout_ms = section, timeout_ms
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.everything = []     # all that was printed, to search for secrets

    def command(self, command, file=None, context=None, repeat=None, pause_ms=None):
        arguments = [self.program, "-t", self.timeout_ms]
        for name, value in self.settings.items():
            arguments += ["-s", f"{name}={value}"]
        arguments += ["-n", self.section] if self.section else []
        arguments += ["-c", context] if context else []
        arguments += ["-r", repeat] if repeat else []
        arguments += ["-p", pause_ms] if pause_ms else []
        arguments += [self.uri, command]
        arguments += [self.directory / file] if file else []
        return [str(argument) for argument in arguments]

    def run(self, *arguments, **options):
        """Every object that it prints."""
        done = subprocess.run(self.command(*arguments, **options), env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.everything.append(done.stdout + done.stderr)
        assert done.returncode in (0, 1), f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert not done.stderr, done.stderr
        replies = [json.loads(line) for line in done.stdout.splitlines()]
        assert replies and (replies[-1]["code"] == 0) == (done.returncode == 0)
        return replies

    def ok(self, *arguments, **options):
        """It must succeed; the last object."""
        reply = self.run(*arguments, **options)[-1]
        assert reply["code"] == 0, reply
        return reply

    def refused(self, errno, state, *arguments, **options):
        """It must fail with this errno and this state; the last object."""
        reply = self.run(*arguments, **options)[-1]
        assert reply["code"] == ERRNO[errno], reply
        assert state is None or reply["state"] == state, reply
        assert reply["text"], reply
        return reply

    def wrap(self, file="slot", **options):
        return self.ok("wrap", file, **options)

    def unwrap(self, file="slot", **options):
        return self.ok("unwrap", file, **options)

    def assert_silent(self, *secrets):
        """None of these was ever printed."""
        for text in self.everything:
            for secret in secrets:
                assert secret not in text, "a secret was printed"
