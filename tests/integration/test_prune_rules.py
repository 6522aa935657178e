# SPDX-License-Identifier: Apache-2.0
"""Prune: the plan and its reasons, what refuses, and nights of backups with retention."""

import datetime
import os
import random
import shutil

from clock import Clock
from schema import check
from trees import assert_same, run

RULES = "keep_within = 3d\nkeep_weekly = 2\nmin_keep = 1\n"


def configure(sandbox, volume, rules):
    sandbox.configure(f'[volume "v"]\nbacking = {volume.backing}\n{rules}')


def make(volume, name, env=None, seal=True):
    volume.run("snapshot create", name, env=env)
    if seal:
        volume.run("snapshot seal", name, env=env)


def actions(output):
    return {row["name"]: row["action"] for row in output["snapshots"]}


def test_rules_must_be_those_of_the_volume(sandbox, volume):
    make(volume, "1")
    error = volume.run("prune", "--dry-run", code=5)
    assert "no rule" in error.stderr
    configure(sandbox, volume, RULES)
    assert "policy set" in volume.run("prune", "--dry-run", code=5).stderr
    assert not check(volume.json("policy show", code=4))["same"]
    assert check(volume.json("policy set"))["same"]
    output = check(volume.json("prune", "--yes"))
    assert actions(output) == {"1": "keep"} and "within" in output["snapshots"][0]["reason"]
    # Weaker rules need a yes; a lock is not for the configuration to take away.
    configure(sandbox, volume, RULES.replace("3d", "2d"))
    volume.run("prune", "--yes", code=5)
    volume.run("policy set", code=2)
    volume.run("policy set", "--yes")
    volume.run("policy lock", "--mode", "compliance", "--min", "1d", "--yes")
    volume.run("prune", "--yes")
    configure(sandbox, volume, RULES.replace("3d", "1d"))
    volume.run("policy set", "--yes", code=5)
    error = volume.run("snapshot delete", "1", "--yes", code=5)
    assert "compliance" in error.stderr
    configure(sandbox, volume, RULES.replace("3d", "4d"))
    volume.run("policy set")
    assert check(volume.json("policy show"))["volume_policy"]["policy_lock"] == "compliance"


def test_policy_that_somebody_else_signed_is_not_followed(sandbox, volume):
    """The settings that this host has pinned count, whatever is put into the volume."""
    configure(sandbox, volume, RULES)
    volume.run("policy set")
    newest = max(volume.control.glob("volume/*"), key=lambda path: int(path.name))
    forged = newest.with_name(str(int(newest.name) + 1))
    forged.write_text(newest.read_text().replace('"keep_within_s":259200', '"keep_within_s":1'))
    done = volume.run("prune", "--yes", code=None)
    assert done.returncode in (0, 5, 21)
    forged.unlink()
    volume.run("prune", "--yes")


def test_reasons_and_the_clock(sandbox, volume):
    clock = Clock(sandbox.root, sandbox)
    configure(sandbox, volume, RULES)
    volume.run("policy set")
    first = datetime.datetime(2026, 11, 1, 3)
    for day in range(10):
        clock.set(first + datetime.timedelta(days=day))
        make(volume, f"d{day}", env=clock.environment)
    volume.run("snapshot hold", "d1", "--name", "legal", env=clock.environment)
    volume.run("snapshot create", "demand", "--keep", "30d", env=clock.environment)
    volume.run("snapshot create", "expired", "--keep", "1s", env=clock.environment)
    volume.run("snapshot seal", "demand", "expired", env=clock.environment)
    volume.run("snapshot create", "open", env=clock.environment)
    clock.set(first + datetime.timedelta(days=10))
    output = check(volume.json("prune", "--dry-run", env=clock.environment))
    kept = {name for name, action in actions(output).items() if action == "keep"}
    # 2026-11-01 is a Sunday: d0 is of one week, d1 to d7 of the next, then d8 and d9.
    assert kept == {"d1", "d7", "d8", "d9", "demand", "open"}
    reasons = {row["name"]: row["reason"] for row in output["snapshots"]}
    assert reasons["d1"] == "held" and reasons["demand"] == "own" and reasons["open"].endswith("open")
    assert reasons["d9"] == "within, weekly" and reasons["d7"] == "weekly" and reasons["d8"] == "within"
    assert reasons["d0"] == "no rule keeps it" and "own retention" in reasons["expired"]
    listed = {row["name"]: row for row in check(volume.json("snapshot list", env=clock.environment))["snapshots"]}
    assert listed["d8"]["expires"][:16] == (first + datetime.timedelta(days=11)).strftime("%Y-%m-%dT%H:%M")
    assert listed["d7"]["retention"] == "weekly" and listed["d7"]["expires"] is None
    assert listed["demand"]["expires"][:10] == "2026-12-10" and listed["d1"]["retention"] == "held"
    assert listed["d0"]["retention"] == "next prune"
    text = volume.run("snapshot show", "d1", "demand", env=clock.environment).stdout
    assert "Hold:              legal, since 2026-11-10" in text and "Kept until:        2026-12-10" in text
    for wrong in (first, first + datetime.timedelta(days=300)):
        clock.set(wrong)
        volume.run("prune", "--yes", env=clock.environment, code=5)
    assert len([path for path in volume.backing.iterdir() if path.name[0] != "."]) == 13
    # Names and times of directories say nothing.
    (volume.backing / "d0").rename(volume.backing / "newest")
    os.utime(volume.backing / "newest")
    clock.set(first + datetime.timedelta(days=10))
    output = check(volume.json("prune", "--yes", env=clock.environment))
    assert output["deleted"] == 7 and output["failed"] == 0 and len(output["data_keys"]) == 7
    left = {path.name for path in volume.backing.iterdir() if path.name[0] != "."}
    assert left == kept


def night(clock, mount, volume, source, number, when):
    """What a nightly job does."""
    clock.set(when)
    previous = mount.path / "latest"
    link = [f"--link-dest={os.path.realpath(previous)}"] if previous.exists() else []
    run("rsync", "-aHAX", *link, f"{source}/", f"{mount.path}/{number}/")
    run("ln", "-sfn", number, previous)
    volume.run("snapshot seal", number, env=clock.environment)
    volume.run("prune", "--yes", env=clock.environment)


def nights(sandbox, volume, count, files):
    clock = Clock(sandbox.root, sandbox)
    # Half a day away from any night, so that no second decides.
    configure(sandbox, volume, "keep_within = 60h\nkeep_weekly = 2\n")
    volume.run("policy set")
    keyring = sandbox.state / "keyring"
    retired = volume.json("volume show")["encryption_key_id"]
    source, copies = sandbox.directory("source"), {}
    chooser = random.Random(7)
    for number in range(files):
        (source / str(number)).write_bytes(chooser.randbytes(3000))
    first = datetime.datetime(2026, 11, 1, 3)
    clock.set(first)
    with volume.mount(env=clock.environment) as mount:
        for number in range(count):
            if number == 1:
                sandbox.run("keyring", "add", keyring, "next")
                volume.run("keys set-default", f"keyring://{keyring}#next", env=clock.environment)
            for changed in range(max(1, files // 20)):
                (source / str((number + changed) % files)).write_bytes(chooser.randbytes(2000 + number))
            name = f"n{number:02}"
            night(clock, mount, volume, source, name, first + datetime.timedelta(days=number))
            copies[name] = sandbox.directory("copy")
            shutil.copytree(source, copies[name], dirs_exist_ok=True)
            left = {path.name for path in volume.backing.iterdir() if path.name.startswith("n")}
            for gone in set(copies) - left:
                shutil.rmtree(copies.pop(gone))
            needed = any(path.parent.parent.name for path in volume.control.glob("keys/*/*")
                         if path.is_file() and retired in path.read_text())
            code = volume.sandbox.run("keys", "check", retired, "--scope", "host", "--live",
                                      env=clock.environment, code=None).returncode
            assert code == (6 if needed else 0), f"night {number}"
        for name, copy in copies.items():
            run("diff", "-r", copy, mount.path / name)
    return copies


def check_left_overs(volume, copies):
    """No key record and no marker of what is gone."""
    ids = {volume.json("snapshot show", name)["snapshots"][0]["id"] for name in copies}
    ids.add(volume.json("snapshot show", ".")["snapshots"][0]["id"])
    for path in volume.control.glob("keys/*/needed-by/*"):
        assert path.name in ids
    assert not list(volume.control.glob("tmp/removed-*"))
    needed = {need for name in [*copies, "."] for need in
              (key["id"] for key in volume.json("snapshot show", name)["snapshots"][0]["data_keys"])}
    assert {path.name for path in volume.control.glob("keys/*")} <= needed


def test_nights_of_backups(sandbox, volume):
    """A short form of scripts/campaign/retention."""
    count = int(os.environ.get("SNAPCRYPT_NIGHTS", "6"))
    copies = nights(sandbox, volume, count, int(os.environ.get("SNAPCRYPT_NIGHT_FILES", "20")))
    # Those of three days, and the newest of the week before; the first night was a Sunday.
    sunday = (count - 2) // 7 * 7
    assert set(copies) == {f"n{number:02}" for number in (sunday, *range(count - 3, count))}
    check_left_overs(volume, copies)
    target = sandbox.directory("target")
    for name, copy in copies.items():
        volume.run("restore", name, target / name)
        assert_same(copy, target / name)


def test_only_what_was_verified_counts(sandbox, volume):
    """A snapshot that verify has not found in order takes no place, and keeps none from being kept."""
    configure(sandbox, volume, "keep_last = 1\nrequire_verified = yes\n")
    volume.run("policy set")
    make(volume, "1")
    make(volume, "2")
    output = check(volume.json("prune", "--yes"))
    assert actions(output) == {"1": "keep", "2": "keep"}, "nothing that counts: nothing may go"
    volume.run("verify", "1")
    make(volume, "3")
    output = check(volume.json("prune", "--yes"))
    assert actions(output) == {"1": "keep", "2": "delete", "3": "keep"}
    assert {row["name"] for row in output["snapshots"] if row["verified"]} == {"1"}
    volume.run("verify")
    assert actions(volume.json("prune", "--yes")) == {"1": "delete", "3": "keep"}


def test_open_snapshots_take_no_place(sandbox, volume):
    configure(sandbox, volume, "keep_last = 1\n")
    volume.run("policy set")
    make(volume, "1-old")
    make(volume, "2-new")
    make(volume, "3-open", seal=False)
    output = check(volume.json("prune", "--dry-run", "--include-open"))
    assert actions(output) == {"1-old": "delete", "2-new": "keep", "3-open": "keep"}
    make(volume, "4-newer", seal=False)
    output = check(volume.json("prune", "--dry-run", "--include-open"))
    assert actions(output) == {"1-old": "delete", "2-new": "keep", "3-open": "delete", "4-newer": "keep"}
    output = check(volume.json("prune", "--yes"))
    assert actions(output)["3-open"] == "keep" and output["deleted"] == 1
