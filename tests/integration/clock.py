# SPDX-License-Identifier: Apache-2.0
"""Another time of day for programs: libfaketime, told through a file so that a running mount follows."""

import os
from pathlib import Path

import pytest

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
             "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1")


class Clock:
    """Give every program that is started with `environment` the time that set() said last."""

    def __init__(self, directory, sandbox):
        library = next((path for path in LIBRARIES if os.path.exists(path)), None)
        if not library:
            pytest.skip("no libfaketime")
        self.file = Path(directory) / "clock"
        self.environment = {
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
            "TZ": "UTC",
            # The sanitizer wants to be the first library, and need not be for this.
            "ASAN_OPTIONS": sandbox.environment["ASAN_OPTIONS"] + ":verify_asan_link_order=0",
        }

    def set(self, text):
        """From now on it is TEXT, 2026-11-24 03:00:00, and time goes on from there."""
        temporary = self.file.with_suffix(".new")
        temporary.write_text(f"@{text}\n")
        temporary.rename(self.file)
