# SPDX-License-Identifier: Apache-2.0
"""Fixtures of every test in Python: the program under test, and a place of its own for each test."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

from snapcrypt import Sandbox  # noqa: E402  (needs the path above)


@pytest.fixture(scope="session")
def binary():
    """The program: SNAPCRYPT_BINARY, or what scripts/test built."""
    path = Path(os.environ.get("SNAPCRYPT_BINARY", TESTS.parent / "build" / "dev-gcc" / "snapcrypt"))
    if not path.is_file():
        pytest.fail(f"{path} is not built; set SNAPCRYPT_BINARY or run scripts/test")
    return path.resolve()


@pytest.fixture
def sandbox(binary):
    """Configuration, state, runtime directory and mounts of one test; checked and removed after it."""
    place = Sandbox(binary)
    try:
        yield place
    finally:
        problems = place.close()
    if problems:
        pytest.fail("\n".join(problems))


@pytest.fixture
def volume(sandbox):
    """A volume under the embedded keyring."""
    return sandbox.init()


@pytest.fixture
def mount(volume):
    """That volume, mounted writable."""
    return volume.mount()
