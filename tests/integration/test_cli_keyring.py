# SPDX-License-Identifier: Apache-2.0
"""The embedded keyring from making to deleting a key, and the commands about keys."""

import errno
import json
import stat

import pytest

from schema import check


@pytest.fixture
def keyring(sandbox):
    """A keyring with the key `default`."""
    path = sandbox.root / "keys"
    sandbox.run("keyring", "init", path)
    return path


def states(sandbox, path):
    return {key["id"]: key["state"] for key in check(sandbox.json("keyring", "list", path))["keys"]}


def error_of(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def test_a_new_keyring_has_one_enabled_key_and_is_nobody_elses(sandbox):
    path = sandbox.root / "keys"
    output = check(sandbox.json("keyring", "init", path))
    assert output["path"] == str(path) and output["state"] == "enabled"
    assert output["key_id"] == f"keyring:{output['keyring']}#default"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "copy" in sandbox.run("keyring", "init", sandbox.root / "more").stderr


def test_a_keyring_is_never_replaced(sandbox, keyring):
    before = keyring.read_bytes()
    assert "exists" in sandbox.run("keyring", "init", keyring, code=1).stderr
    assert keyring.read_bytes() == before


def test_the_life_of_a_key(sandbox, keyring):
    assert check(sandbox.json("keyring", "add", keyring, "2027"))["state"] == "enabled"
    assert states(sandbox, keyring) == {"default": "enabled", "2027": "enabled"}
    assert check(sandbox.json("keyring", "disable", keyring, "2027"))["state"] == "disabled"
    assert states(sandbox, keyring)["2027"] == "disabled"
    sandbox.run("keyring", "enable", keyring, "2027")
    assert states(sandbox, keyring)["2027"] == "enabled"
    sandbox.run("keyring", "delete", keyring, "2027", "--yes")
    assert states(sandbox, keyring)["2027"] == "deleted"
    assert "deleted" in sandbox.run("keyring", "enable", keyring, "2027", code=17).stderr


def test_deleting_asks_first(sandbox, keyring):
    done = sandbox.run("keyring", "delete", keyring, "default", code=2)
    assert "--yes" in done.stderr and "lost for ever" in done.stderr
    output = check(sandbox.json("keyring", "delete", keyring, "default", "--dry-run"))
    assert output["dry_run"] and output["state"] == "enabled"
    assert states(sandbox, keyring) == {"default": "enabled"}


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "a#b"])
def test_a_key_needs_a_proper_id(sandbox, keyring, name):
    sandbox.run("keyring", "add", keyring, name, code=2)
    assert list(states(sandbox, keyring)) == ["default"]


def test_a_key_is_added_once(sandbox, keyring):
    assert "default" in sandbox.run("keyring", "add", keyring, "default", code=1).stderr


def test_keys_that_are_not_there_are_named(sandbox, keyring):
    for command in ("enable", "disable"):
        assert "nobody" in sandbox.run("keyring", command, keyring, "nobody", code=None).stderr


def test_a_keyring_that_others_may_read_is_refused(sandbox, keyring):
    keyring.chmod(0o640)
    sandbox.run("keys", "test", f"keyring://{keyring}#default", code=None)
    done = sandbox.run("init", sandbox.directory("backing"), "--key", f"keyring://{keyring}#default", code=None)
    assert done.returncode not in (0, 3, 4) and "closed to others" in done.stderr


def test_a_passphrase_from_the_environment(sandbox):
    path = sandbox.root / "keys"
    secret = {"SNAPCRYPT_KEYRING_PASSPHRASE": "correct horse battery staple"}
    sandbox.run("keyring", "init", path, "--passphrase", env=secret)
    assert check(sandbox.json("keyring", "list", path))["protection"] == "passphrase"
    assert b"correct horse" not in path.read_bytes()
    uri = f"keyring://{path}#default"
    check(sandbox.json("keys", "test", uri, env=secret))
    for wrong in ({"SNAPCRYPT_KEYRING_PASSPHRASE": "wrong"}, {}):
        done = sandbox.run("keys", "test", uri, env=wrong, code=None)
        assert done.returncode not in (0, 3, 4, 6, 7) and "passphrase" in done.stderr


def test_a_passphrase_without_anybody_to_ask(sandbox):
    done = sandbox.run("keyring", "init", sandbox.root / "keys", "--passphrase", code=None,
                       start_new_session=True)
    assert done.returncode != 0 and "terminal" in done.stderr and not (sandbox.root / "keys").exists()


def test_keys_test_and_show(sandbox, keyring):
    uri = f"keyring://{keyring}#default"
    tested = check(sandbox.json("keys", "test", uri))
    assert tested["state"] == "enabled" and tested["uri"] == uri and tested["key_id"].startswith("keyring:")
    assert check(sandbox.json("keys", "show", uri))["key_id"] == tested["key_id"]
    assert "This host can use the key." in sandbox.run("keys", "test", uri).stdout
    sandbox.run("keyring", "disable", keyring, "default")
    done = sandbox.run("keys", "test", uri, "--json", code=12)
    assert check(json.loads(done.stderr))["word"] == "key-disabled"
    sandbox.run("keyring", "delete", keyring, "default", "-y")
    assert sandbox.run("keys", "test", uri, code=17).stdout == ""


def test_a_key_is_found_by_its_encryption_key_id(sandbox, volume):
    key_id = volume.json("volume show")["encryption_key_id"]
    assert check(sandbox.json("keys", "test", key_id))["key_id"] == key_id
    assert check(sandbox.json("keys", "show", key_id))["uri"] == f"keyring://{sandbox.state}/keyring#default"
    done = sandbox.run("keys", "test", "keyring:00000000-0000-4000-8000-000000000000#default", code=2)
    assert "does not know where to ask" in done.stderr
    sandbox.run("keys", "test", "nonsense://key", code=2)


def test_keys_list_counts_the_snapshots_that_need_each(sandbox, volume):
    sandbox.run("keyring", "add", sandbox.state / "keyring", "second")
    for name in ("one", "two"):
        volume.run("snapshot create", name)
    output = check(volume.json("keys list"))
    assert {key["key_id"].split("#")[1]: key["snapshots"] for key in output["keys"]} == {"default": 2, "second": 0}
    assert check(sandbox.json("keys", "list"))["keys"][0]["snapshots"] is None
    assert "ENCRYPTION KEY ID" in sandbox.run("keys", "list").stdout


def test_set_default_without_a_mount(sandbox, volume):
    volume.run("snapshot create", "one")
    sandbox.run("keyring", "add", sandbox.state / "keyring", "second")
    uri = f"keyring://{sandbox.state}/keyring#second"
    changed = check(volume.json("keys set-default", uri))
    assert changed["encryption_key_id"].endswith("#second")
    assert volume.json("volume show")["encryption_key_id"] == changed["encryption_key_id"]
    volume.run("snapshot create", "two")
    rows = {row["name"]: row["encryption_key_id"] for row in volume.json("snapshot list")["snapshots"]}
    assert rows["two"] == changed["encryption_key_id"] and rows["one"].endswith("#default")


def test_set_default_on_a_mounted_volume_is_made_by_the_mount(sandbox, volume):
    sandbox.run("keyring", "add", sandbox.state / "keyring", "second")
    uri = f"keyring://{sandbox.state}/keyring#second"
    with volume.mount() as mount:
        (mount.path / "before").mkdir()
        changed = check(sandbox.json("keys", "set-default", mount.path, uri))
        (mount.path / "new").mkdir()
        rows = check(volume.json("snapshot list"))["snapshots"]
        assert rows[0]["encryption_key_id"].endswith("#default")
        assert rows[1]["encryption_key_id"] == changed["encryption_key_id"]
    assert volume.json("volume show")["generation"] == 2


def test_set_default_refuses_a_key_that_does_not_work(sandbox, volume):
    sandbox.run("keyring", "add", sandbox.state / "keyring", "second")
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "second")
    volume.run("keys set-default", f"keyring://{sandbox.state}/keyring#second", code=12)
    volume.run("keys set-default", f"keyring://{sandbox.state}/keyring#third", code=17)
    volume.run("keys set-default", "nonsense://x", code=2)
    assert volume.json("volume show")["generation"] == 1


def test_set_default_against_the_configuration_is_refused(sandbox, volume):
    uri = f"keyring://{sandbox.state}/keyring#default"
    sandbox.configure(f"[global]\nkey = {uri}\n")
    sandbox.run("keyring", "add", sandbox.state / "keyring", "second")
    done = volume.run("keys set-default", f"keyring://{sandbox.state}/keyring#second", code=2)
    assert f"key = {uri}" in done.stderr


def test_keys_test_lets_a_mount_look_at_once(sandbox, volume):
    """A key that comes back is used again without waiting for the interval."""
    keyring, uri = sandbox.state / "keyring", f"keyring://{sandbox.state}/keyring#default"
    sandbox.allow("disabled")
    with volume.mount() as mount:
        (mount.path / "one").mkdir()
        (mount.path / "one" / "file").write_text("x")
        mount.umount()
    with volume.mount("ro") as mount:
        sandbox.run("keyring", "disable", keyring, "default")
        sandbox.run("keys", "test", uri, code=12)
        sandbox.run("keyring", "enable", keyring, "default")
        sandbox.run("keys", "test", uri)
        assert error_of((mount.path / "one" / "file").read_text) in (None, "EKEYREVOKED")
        sandbox.run("keys", "test", uri)
        assert (mount.path / "one" / "file").read_text() == "x"
