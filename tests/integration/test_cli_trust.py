# SPDX-License-Identifier: Apache-2.0
"""volume show, volume trust, keys trust: what another host may believe of a volume."""

import json
import shutil

import pytest

from schema import check


@pytest.fixture
def other(sandbox, volume):
    """The environment of another host: it has the keyring, and nothing else, of the one that made the volume."""
    volume.run("snapshot create", "one")
    state = sandbox.directory("other")
    state.chmod(0o700)
    shutil.copy(sandbox.state / "keyring", state / "keyring")
    return {"SNAPCRYPT_STATE_DIR": str(state)}


def shown(volume, env):
    return check(json.loads(volume.run("volume show", "--json", env=env).stdout))


def test_its_own_settings_are_pinned_and_verified(volume):
    output = check(volume.json("volume show"))
    assert output["pinned"] and output["origin_verified"] and output["differences"] == []


def test_another_host_is_told_whose_the_settings_are(sandbox, volume, other):
    output = shown(volume, other)
    assert not output["pinned"] and not output["origin_verified"]
    assert output["writer"] == sandbox.json("status")["writer"]
    assert "origin not verified" in volume.run("volume show", env=other).stdout
    assert "origin not verified" in volume.run("snapshot list", env=other).stderr


def test_another_host_writes_only_after_volume_trust(sandbox, volume, other):
    done = volume.run("snapshot create", "two", code=21, env=other)
    assert output_names_writer(done.stderr, sandbox)
    assert "--yes" in volume.run("volume trust", code=2, env=other).stderr
    assert not shown(volume, other)["pinned"]
    trusted = check(json.loads(volume.run("volume trust", "--yes", "--json", env=other).stdout))
    assert trusted["writer"] == sandbox.json("status")["writer"]
    assert shown(volume, other)["pinned"]
    volume.run("snapshot create", "two", env=other)


def output_names_writer(text, sandbox):
    return sandbox.json("status")["writer"] in text


def test_a_trusted_writer_of_the_configuration_needs_no_pin(sandbox, volume, other):
    sandbox.configure(f"[global]\ntrusted_writers = {sandbox.json('status')['writer']}\n")
    assert shown(volume, other)["origin_verified"]
    volume.run("snapshot create", "two", env=other)


def test_require_trusted_origin_refuses_to_read(sandbox, volume, other):
    sandbox.configure("[global]\nrequire_trusted_origin = yes\n")
    volume.run("snapshot list", code=21, env=other)
    volume.run("snapshot list")


def test_keys_trust_allows_writing_into_the_snapshot_of_another_host(sandbox, volume, other):
    sandbox.allow("origin not verified|unknown writer|not trusted here")
    volume.run("volume trust", "--yes", env=other)
    row = json.loads(volume.run("snapshot show", "one", "--json", env=other).stdout)["snapshots"][0]
    assert not row["data_keys"][0]["trusted"]
    with volume.mount(env=other) as mount:
        with pytest.raises(PermissionError):
            (mount.path / "one" / "file").write_text("x")
    assert "--yes" in volume.run("keys trust", "one", code=2, env=other).stderr
    changed = check(json.loads(volume.run("keys trust", "one", "--yes", "--json", env=other).stdout))
    assert changed["data_keys"] == 1
    with volume.mount(env=other) as mount:
        (mount.path / "one" / "file").write_text("x")
    assert json.loads(volume.run("keys trust", "one", "-y", "--json", env=other).stdout)["data_keys"] == 0
