# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with stored bytes, in the words of the test vectors."""


class Fault(Exception):
    """Stored bytes are not what the format says.  `word` is one of the vectors' outcomes."""

    def __init__(self, word, text=""):
        super().__init__(f"{word}: {text}" if text else word)
        self.word = word


class NoKey(Exception):
    """A data key that was not given is needed."""

    def __init__(self, dek):
        super().__init__(f"no key for {dek}")
        self.dek = dek
