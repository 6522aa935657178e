# SPDX-License-Identifier: Apache-2.0
"""Print what a backing directory holds, as JSON.

    python3 tests/decoder BACKING [--dek UUID=HEX]... [--keyring FILE]... [--replay]

Exit code 0: everything was read; 1: some of it was not (see "findings").
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from decoder.keyring import Keyring  # noqa: E402
from decoder.keys import parse_uuid  # noqa: E402
from decoder.volume import Volume  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="decoder", description=__doc__.split("\n")[0])
    parser.add_argument("backing")
    parser.add_argument("--dek", action="append", default=[], metavar="UUID=HEX")
    parser.add_argument("--keyring", action="append", default=[], metavar="FILE")
    parser.add_argument("--passphrase-file", metavar="FILE")
    parser.add_argument("--trusted-writer", action="append", metavar="writer:HEX")
    parser.add_argument("--replay", action="store_true", help="overlay live journal records")
    options = parser.parse_args()

    deks = {}
    for text in options.dek:
        dek_id, _, key = text.partition("=")
        deks[parse_uuid(dek_id)] = bytes.fromhex(key)
    passphrase = None
    if options.passphrase_file:
        with open(options.passphrase_file, "rb") as stream:
            passphrase = stream.read().rstrip(b"\n")
    keyrings = [Keyring(path, passphrase) for path in options.keyring]
    volume = Volume(options.backing, deks, keyrings, options.trusted_writer, options.replay)
    tree = list(volume.walk())
    json.dump({"volume": str(volume.id), "writer": volume.record.fingerprint, "tree": tree,
               "journal_records": len(volume.journal_records),
               "seals": len(volume.seals()), "findings": volume.findings},
              sys.stdout, indent=1, sort_keys=True)
    print()
    return 1 if volume.findings else 0


if __name__ == "__main__":
    sys.exit(main())
