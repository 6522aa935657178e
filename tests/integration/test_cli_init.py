# SPDX-License-Identifier: Apache-2.0
"""init: what it makes, what it says, what it refuses."""

import json
import os
import re
import stat

import pytest

from schema import check


def init(sandbox, backing, *arguments, code=0, **options):
    return sandbox.run("init", backing, *arguments, code=code, **options)


def test_init_without_key_makes_the_embedded_keyring(sandbox):
    backing = sandbox.directory("backing")
    output = check(sandbox.json("init", backing))
    keyring = sandbox.state / "keyring"
    assert output["keyring"] == str(keyring)
    assert stat.S_IMODE(keyring.stat().st_mode) == 0o600
    listed = sandbox.json("keyring", "list", keyring)
    assert output["encryption_key_id"] == f"keyring:{listed['keyring']}#default"
    assert output["provider"] == "keyring"
    assert [item["what"] for item in output["keep"]] == ["keyring", "writer"]
    assert output["backing"] == str(backing) and output["block_size"] == 16384


def test_init_says_what_must_be_kept(sandbox):
    text = init(sandbox, sandbox.directory("backing")).stdout
    writer = sandbox.json("status")["writer"]
    assert re.search(r"^Volume: +[0-9a-f-]{36}$", text, re.M)
    assert re.search(r"^Encryption Key ID: keyring:[0-9a-f-]{36}#default$", text, re.M)
    assert writer in text
    assert "copy this file off this host, or the backups are lost with it" in text
    assert "local keyring is not customer key management" in text


def test_a_second_volume_uses_the_same_keyring(sandbox):
    first = sandbox.json("init", sandbox.directory("backing"))
    before = (sandbox.state / "keyring").read_bytes()
    second = sandbox.json("init", sandbox.directory("backing"))
    assert second["encryption_key_id"] == first["encryption_key_id"]
    assert second["volume"] != first["volume"]
    assert (sandbox.state / "keyring").read_bytes() == before


def test_init_makes_the_directory(sandbox):
    backing = sandbox.root / "new"
    init(sandbox, backing)
    assert (backing / ".snapcrypt").is_dir()
    assert stat.S_IMODE((backing / ".snapcrypt").stat().st_mode) == 0o700


@pytest.mark.parametrize("arguments, member, value", [
    (["--block-size", "4K"], "block_size", 4096),
    (["--block-size", "1048576"], "block_size", 1048576),
    (["--names", "plain"], "names", "plain"),
    (["--snapshot-depth", "3"], "snapshot_depth", 3),
    (["--algorithm", "chacha20-poly1305"], "algorithm", "chacha20-poly1305"),
])
def test_settings(sandbox, arguments, member, value):
    backing = sandbox.directory("backing")
    assert check(sandbox.json("init", backing, *arguments))[member] == value
    assert check(sandbox.json("volume", "show", backing))[member] == value


def test_a_volume_without_encryption_has_no_key(sandbox):
    output = check(sandbox.json("init", sandbox.directory("backing"), "--encryption", "off"))
    assert output["encryption"] == "off" and output["encryption_key_id"] is None
    assert output["keyring"] is None and not (sandbox.state / "keyring").exists()


@pytest.mark.parametrize("arguments", [
    ["--block-size", "5000"], ["--block-size", "2K"], ["--block-size", "2M"], ["--names", "secret"],
    ["--snapshot-depth", "0"], ["--snapshot-depth", "9"], ["--snapshot-depth", "1x"], ["--algorithm", "rot13"],
    ["--encryption", "maybe"], ["--key", "nonsense://x"], ["--recovery-key", "/nowhere"],
])
def test_settings_that_make_no_sense_are_refused_before_anything_is_made(sandbox, arguments):
    backing = sandbox.directory("backing")
    init(sandbox, backing, *arguments, code=2)
    assert not any(backing.iterdir())


def test_a_volume_is_never_made_twice(sandbox, volume):
    before = sorted(os.listdir(volume.control / "volume"))
    done = init(sandbox, volume.backing, code=1)
    assert "already" in done.stderr
    assert sorted(os.listdir(volume.control / "volume")) == before


def test_files_that_are_there_already_are_refused(sandbox):
    backing = sandbox.directory("backing")
    (backing / "report.pdf").write_text("x")
    assert "report.pdf" in init(sandbox, backing, code=1).stderr
    sandbox.run("snapshot", "list", backing, code=10)
    (backing / "report.pdf").unlink()
    init(sandbox, backing)


def test_directories_that_are_there_already_are_listed_as_not_enabled(sandbox):
    backing = sandbox.directory("backing")
    (backing / "2020").mkdir()
    (backing / "2020" / "old").write_text("as it was")
    output = check(sandbox.json("init", backing))
    assert [entry["name"] for entry in output["plaintext_snapshots"]] == ["2020"]
    listed = check(sandbox.json("snapshot", "list", backing))["snapshots"]
    assert [(row["name"], row["encryption_key_id"], row["bytes"]) for row in listed] == [("2020", None, 9)]
    assert "Not enabled" in sandbox.run("snapshot", "list", backing).stdout


def test_a_keyring_inside_the_backing_directory_is_refused(sandbox):
    backing = sandbox.directory("backing")
    inside = sandbox.root / "link"
    inside.symlink_to(backing)
    for place in (backing / "keyring", inside / "keyring", backing / "a" / ".." / "keyring"):
        done = init(sandbox, backing, "--keyring", place, code=2)
        assert "inside the backing directory" in done.stderr
    assert not any(backing.iterdir())


def test_a_state_directory_inside_the_backing_directory_is_refused(sandbox):
    backing = sandbox.directory("backing")
    done = init(sandbox, backing, "--state-dir", backing / "state", code=2)
    assert "inside the backing directory" in done.stderr
    assert not any(backing.iterdir())


def test_require_cmk_refuses_the_keyring_and_require_encryption_plaintext(sandbox):
    sandbox.configure("[global]\nrequire_cmk = yes\nrequire_encryption = yes\n")
    backing = sandbox.directory("backing")
    assert "require_cmk" in init(sandbox, backing, code=5).stderr
    assert "require_encryption" in init(sandbox, backing, "--encryption", "off", code=5).stderr
    assert not any(backing.iterdir()) and not (sandbox.state / "keyring").exists()


def test_a_disabled_key_makes_no_volume(sandbox):
    sandbox.run("keyring", "init", sandbox.state / "keyring")
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "default")
    backing = sandbox.directory("backing")
    done = init(sandbox, backing, "--json", code=12)
    assert check(json.loads(done.stderr))["word"] == "key-disabled"
    assert not any(backing.iterdir())


def test_settings_of_a_section_count(sandbox):
    backing = sandbox.directory("backing")
    sandbox.configure(f'[volume "v"]\nbacking = {backing}\nnames = plain\nblock_size = 16K\nsnapshot_depth = 2\n')
    output = check(sandbox.json("init", "v"))
    assert (output["name"], output["names"], output["block_size"], output["snapshot_depth"]) == ("v", "plain", 16384, 2)


def test_no_key_byte_in_what_init_says_and_writes(sandbox):
    """The keyring's key is nowhere but in the keyring."""
    backing = sandbox.directory("backing")
    done = init(sandbox, backing, "-vv")
    keyring = json.loads((sandbox.state / "keyring").read_text())

    def texts(value):
        if isinstance(value, dict):
            for name, part in value.items():
                yield from ([part] if name in ("key", "secret", "material") and isinstance(part, str) else texts(part))
        elif isinstance(value, list):
            for part in value:
                yield from texts(part)

    secrets = [text for text in texts(keyring) if len(text) >= 40]
    assert secrets, keyring
    written = "".join(path.read_text(errors="replace") for path in backing.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in done.stdout + done.stderr + written
