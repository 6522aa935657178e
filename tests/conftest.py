# SPDX-License-Identifier: Apache-2.0
"""Fixtures of every test in Python: the program under test, and a place of its own for each test."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

from fakes.pki import Authority  # noqa: E402  (needs the path above)
from fakes.probe import Probe  # noqa: E402
from snapcrypt import Sandbox  # noqa: E402


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


@pytest.fixture(scope="session")
def kms_call():
    """The program tests/tools/kms_call, beside the program under test."""
    place = Path(os.environ.get("SNAPCRYPT_BINARY", TESTS.parent / "build" / "dev-gcc" / "snapcrypt"))
    path = place.parent / "kms_call"
    if not path.is_file():
        pytest.fail(f"{path} is not built; set SNAPCRYPT_BINARY or run scripts/test")
    return path.resolve()


@pytest.fixture
def authority(tmp_path):
    """A certificate authority of this test."""
    directory = tmp_path / "pki"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def probe(kms_call, tmp_path):
    """Make a Probe: probe(uri, settings)."""
    return lambda uri, settings=None, **more: Probe(kms_call, tmp_path, uri, settings, **more)
