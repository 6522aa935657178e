# SPDX-License-Identifier: Apache-2.0
"""snapshot list, show, create."""

import json
import os
import re
import subprocess
import time

import pytest

from schema import check

COLUMNS = ["SNAPSHOT", "CREATED", "SIZE", "FILES", "STATE", "EXPIRES", "ENCRYPTION KEY ID"]


def rows(volume, *arguments):
    return {row["name"]: row for row in check(volume.json("snapshot list", *arguments))["snapshots"]}


@pytest.fixture
def filled(sandbox, volume):
    """Snapshots `a` and `b` under different keys; `b` has a file of `a` linked into it."""
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "data").write_bytes(b"x" * 100_000)
        (mount.path / "a" / ("long" * 60)).write_bytes(b"y" * 5)
        (mount.path / "a" / "empty").touch()
        (mount.path / "a" / "deep" / "er").mkdir(parents=True)
        (mount.path / "a" / "deep" / "er" / "file").write_bytes(b"z" * 70_000)
        (mount.path / "a" / "link").symlink_to("data")
    sandbox.run("keyring", "add", sandbox.state / "keyring", "second")
    volume.run("keys set-default", f"keyring://{sandbox.state}/keyring#second")
    with volume.mount() as mount:
        (mount.path / "b").mkdir()
        (mount.path / "b" / "own").write_bytes(b"1234567")
        os.link(mount.path / "a" / "data", mount.path / "b" / "data")
    return volume


def test_the_columns_are_those_of_the_design(filled):
    text = filled.run("snapshot list").stdout
    assert re.split(r"  +", text.splitlines()[0].strip()) == COLUMNS
    assert filled.run("snapshots").stdout == text


def test_sizes_are_those_of_the_plain_files(filled):
    listed = rows(filled)
    assert (listed["a"]["bytes"], listed["a"]["files"]) == (170_005, 4)
    assert (listed["b"]["bytes"], listed["b"]["files"]) == (100_007, 2)


def test_the_total_is_that_of_what_is_listed(filled):
    output = check(filled.json("snapshot list", "b"))
    assert output["total"] == {"snapshots": 1, "bytes": 100_007}


def test_every_key_that_a_snapshot_needs_is_shown_in_full(filled):
    listed = rows(filled)
    keyring = filled.sandbox.json("keyring", "list", filled.sandbox.state / "keyring")["keyring"]
    first, second = (f"keyring:{keyring}#{name}" for name in ("default", "second"))
    assert listed["a"]["encryption_key_ids"] == [first]
    assert sorted(listed["b"]["encryption_key_ids"]) == sorted([first, second])
    assert listed["b"]["encryption_key_id"] == second, "its own key comes first"
    done = subprocess.run([filled.sandbox.binary, "snapshot", "list", filled.backing], text=True, check=True,
                          env={**filled.sandbox.environment, "COLUMNS": "40"}, stdout=subprocess.PIPE)
    assert f"{second}, {first}" in done.stdout


def test_listing_needs_no_key(filled):
    before = filled.run("snapshot list").stdout
    (filled.sandbox.state / "keyring").unlink()
    assert filled.run("snapshot list").stdout == before


def test_selecting_by_key(filled):
    listed = rows(filled)
    first, second = listed["a"]["encryption_key_id"], listed["b"]["encryption_key_id"]
    assert set(rows(filled, "--key", first)) == {"a", "b"}
    assert set(rows(filled, "--key", second)) == {"b"}
    assert rows(filled, "--key", "keyring:00000000-0000-4000-8000-000000000000#x") == {}


def test_selecting_and_sorting(filled):
    assert set(rows(filled, "b")) == {"b"} == set(rows(filled, "latest-any"))
    assert "latest-any" in filled.run("snapshot list", "latest", code=20).stderr
    assert set(rows(filled, rows(filled)["a"]["id"])) == {"a"}
    assert set(rows(filled, "--state", "open")) == {"a", "b"}
    assert rows(filled, "--state", "sealed") == {}
    assert rows(filled, "--until", "2001-01-01") == {}
    assert set(rows(filled, "--since", "2001-01-01 10:00")) == {"a", "b"}
    assert list(rows(filled, "--sort", "size")) == ["b", "a"]
    for wrong in (["--state", "closed"], ["--since", "yesterday"], ["--sort", "colour"]):
        filled.run("snapshot list", *wrong, code=2)


def test_a_listing_through_the_mount_is_the_same(filled):
    text = filled.run("snapshot list").stdout
    with filled.mount("ro") as mount:
        assert filled.sandbox.run("snapshot", "list", mount.path).stdout == text


def test_a_plain_directory_beside_the_snapshots_is_foreign(filled):
    (filled.backing / "planted").mkdir()
    (filled.backing / "planted" / "file").write_text("x")
    row = rows(filled)["planted"]
    assert (row["state"], row["id"], row["bytes"], row["encryption_key_ids"]) == ("foreign", None, None, [])


def test_a_volume_without_encryption_is_not_enabled(sandbox):
    volume = sandbox.init("--encryption", "off")
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"123")
    row = rows(volume)["a"]
    assert row["encryption_key_id"] is None and row["encryption_key_ids"] == [] and row["bytes"] == 3
    assert volume.run("snapshot list").stdout.splitlines()[1].endswith("Not enabled")


def test_a_name_that_is_not_utf8(volume):
    with volume.mount() as mount:
        os.mkdir(os.fsencode(mount.path) + b"/caf\xe9")
    (row,) = check(volume.json("snapshot list"))["snapshots"]
    assert row["name"] == "caf\ufffd" and row["name_b64"] == "Y2Fm6Q"


def test_the_root_is_listed_when_it_holds_something(volume):
    assert rows(volume) == {}
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "README").write_text("hello")
    listed = rows(volume)
    assert set(listed) == {".", "a"}
    assert (listed["."]["kind"], listed["."]["bytes"], listed["."]["files"]) == ("root", 5, 1)


def test_show_names_data_keys_slots_and_dependants(filled):
    output = check(filled.json("snapshot show", "a", "b"))
    first, second = output["snapshots"]
    assert [key["own"] for key in first["data_keys"]] == [True]
    assert first["needed_by"] == [second["id"]]
    assert sorted(key["own"] for key in second["data_keys"]) == [False, True]
    (slot,) = first["data_keys"][0]["slots"]
    assert (slot["role"], slot["provider"], slot["configured"]) == ("primary", "keyring", True)
    assert slot["key_id"] == first["encryption_key_id"]
    assert first["data_keys"][0]["trusted"] and first["origin_verified"]
    text = filled.run("snapshot show", "b").stdout
    assert "linked from another snapshot" in text and first["encryption_key_id"] in text


def test_show_finds_a_snapshot_by_name_uuid_and_age(filled):
    identity = rows(filled)["b"]["id"]
    for name in ("b", identity, "latest-any"):
        (found,) = filled.json("snapshot show", name)["snapshots"]
        assert found["name"] == "b"
    assert filled.json("snapshot show", ".")["snapshots"][0]["kind"] == "root"
    assert "latest-any" in filled.run("snapshot show", "latest", code=20).stderr
    assert "snapshot list" in filled.run("snapshot show", "nothing", code=1).stderr


def test_create_without_a_mount(volume):
    output = check(volume.json("snapshot create", "new"))["snapshot"]
    assert output["name"] == "new" and output["state"] == "open"
    with volume.mount() as mount:
        (mount.path / "new" / "file").write_text("x")
    assert rows(volume)["new"]["id"] == output["id"]


def test_create_in_the_mount(sandbox, volume):
    with volume.mount() as mount:
        identity = check(sandbox.json("snapshot", "create", mount.path, "new"))["snapshot"]["id"]
        assert (mount.path / "new").is_dir()
        check(volume.json("snapshot create", "two"))
        assert (mount.path / "two").is_dir()
    assert rows(volume)["new"]["id"] == identity


def test_create_refuses_what_mkdir_would_refuse(volume):
    volume.run("snapshot create", "new")
    for name in ("", "a/b", "/abs", ".snapcrypt-x"):
        volume.run("snapshot create", name, code=2)
    assert "already" in volume.run("snapshot create", "new", code=1).stderr
    with volume.mount():
        volume.run("snapshot create", "new", code=1)


def test_create_below_the_depth_of_the_volume(sandbox):
    volume = sandbox.init("--snapshot-depth", "2")
    with volume.mount() as mount:
        (mount.path / "host").mkdir()
    assert "depth 2" in volume.run("snapshot create", "top", code=2).stderr
    assert check(volume.json("snapshot create", "host/one"))["snapshot"]["name"] == "host/one"
    assert "host/one" in rows(volume)


def test_create_says_that_the_key_is_disabled(sandbox, volume):
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "default")
    done = volume.run("snapshot create", "new", "--json", code=12)
    error = check(json.loads(done.stderr))
    assert "disabled" in error["message"] and rows(volume) == {}


def test_a_thousand_directories_are_listed_quickly(volume):
    """No key call and no open file per object: some milliseconds for each thousand."""
    with volume.mount() as mount:
        for group in range(20):
            (mount.path / "a" / f"{group}").mkdir(parents=True)
            for number in range(50):
                (mount.path / "a" / f"{group}" / f"{number}").mkdir()
                (mount.path / "a" / f"{group}" / f"{number}" / "f").touch()
    start = time.monotonic()
    assert rows(volume)["a"]["files"] == 1000
    assert time.monotonic() - start < 10
