# SPDX-License-Identifier: Apache-2.0
"""The recorder that was built beside the program under test."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recorder(binary):
    path = Path(os.environ.get("SNAPCRYPT_RECORDER", binary.parent / "powercut_recorder.so"))
    if not path.is_file():
        pytest.fail(f"{path} is not built")
    return path
