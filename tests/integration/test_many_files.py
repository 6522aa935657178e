# SPDX-License-Identifier: Apache-2.0
"""Many files: memory and descriptors of the daemon stay bounded."""

import os
import shutil
from pathlib import Path

FILES = int(os.environ.get("SNAPCRYPT_MANY_FILES", "20000"))
LIMIT_KIB = int(os.environ.get("SNAPCRYPT_MANY_FILES_KIB", "0"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def high_water_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def test_listing_reading_and_deleting_many_files(volume):
    with volume.mount() as mount:
        root = mount.path / "s"
        root.mkdir()
        (root / "warm-up").write_bytes(b"x")
        (root / "warm-up").read_bytes()
        before = descriptors(mount.pid())
        for number in range(FILES):
            directory = root / f"d{number // 500}"
            if number % 500 == 0:
                directory.mkdir()
            with open(directory / f"file-{number}", "wb") as file:
                file.write(b"%d" % number)
        seen = 0
        for directory, _, names in os.walk(root):
            for name in names:
                path = os.path.join(directory, name)
                os.stat(path)
                if name.startswith("file-"):
                    with open(path, "rb") as file:
                        assert file.read() == name[5:].encode()
                    seen += 1
        assert seen == FILES
        for entry in root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        assert os.listdir(root) == []
        # Directories have been forgotten by the kernel or are kept under the budget; none may leak for each file.
        with open("/proc/sys/vm/drop_caches", "w") as control:
            control.write("3")
        assert descriptors(mount.pid()) <= before + 8
        print(f"{FILES} files: VmHWM {high_water_kib(mount.pid())} KiB")
        if LIMIT_KIB:
            assert high_water_kib(mount.pid()) < LIMIT_KIB
