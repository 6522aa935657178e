# SPDX-License-Identifier: Apache-2.0
"""mount, umount, status, check-mounted, and the helpers of mount(8)."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from schema import check
from snapcrypt import mount_table, wait_for

HELPERS = ["mount.snapcrypt", "mount.fuse.snapcrypt", "umount.snapcrypt", "umount.fuse.snapcrypt"]


@pytest.fixture
def filled(volume):
    with volume.mount() as mount:
        (mount.path / "one").mkdir()
        (mount.path / "one" / "file").write_bytes(b"content")
    return volume


@pytest.fixture
def helper(sandbox, filled):
    """Run a helper as mount(8) would, by its name."""
    for name in HELPERS:
        (sandbox.root / name).symlink_to(sandbox.binary)

    def run(name, *arguments, code=0):
        done = subprocess.run([sandbox.root / name, *map(str, arguments)], env=sandbox.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    return run


def is_mounted(path):
    return any(point == str(path) for point, _ in mount_table().values())


def options_of(path):
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[4] == str(path):
            return fields
    return None


# Readiness and release.

def test_the_command_returns_when_the_mount_serves(filled):
    with filled.mount(daemon=True) as mount:
        assert (mount.path / "one" / "file").read_bytes() == b"content"
        assert mount.log() == ""


def test_a_failure_of_the_daemon_is_that_of_the_command(sandbox, filled):
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "default")
    done = sandbox.run("mount", filled.backing, sandbox.directory("m"), "--json", code=12)
    error = check(json.loads(done.stderr))
    assert error["word"] == "key-disabled" and "disabled" in error["message"]
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_the_output_of_the_command_ends_with_it(sandbox, filled):
    """A script that reads it to the end does not wait for the daemon."""
    place = sandbox.directory("m")
    done = subprocess.run([sandbox.binary, "mount", filled.backing, place], env=sandbox.environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          check=True)
    assert done.stdout == b"" and is_mounted(place)
    sandbox.run("umount", place)


def test_the_daemon_keeps_no_directory_busy(sandbox, filled):
    """Neither the one in which it was started nor a standard stream."""
    here, place = sandbox.directory("cwd"), sandbox.directory("m")
    sandbox.run("mount", os.path.relpath(filled.backing, here), os.path.relpath(place, here), cwd=here)
    pid = sandbox.json("status", place)["volumes"][0]["mounts"][0]["pid"]
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)} == {"/dev/null"}
    sandbox.run("umount", place)


def test_after_umount_the_volume_is_released(filled):
    """The next writer need not wait, and everything is below."""
    for number in range(3):
        mount = filled.mount(daemon=True)
        (mount.path / "one" / f"{number}").write_bytes(os.urandom(3_000_000))
        mount.umount()
    with filled.mount("ro") as mount:
        assert len(list((mount.path / "one").iterdir())) == 4


def test_a_busy_mount_stays_and_can_be_waited_for(sandbox, filled):
    with filled.mount() as mount:
        with open(mount.path / "one" / "file", "rb"):
            for _ in range(10):
                done = sandbox.run("umount", mount.path, code=1)
            assert "fuser" in done.stderr and is_mounted(mount.path)
            assert check(sandbox.json("status", mount.path))["volumes"][0]["mounts"], "the socket still answers"
        with open(mount.path / "one" / "file", "rb") as file:
            waiting = subprocess.Popen([sandbox.binary, "umount", mount.path, "--wait", "60s"],
                                       env=sandbox.environment)
            time.sleep(0.5)
            assert waiting.poll() is None
            file.close()
            assert waiting.wait(60) == 0
        assert not is_mounted(mount.path)
        assert mount.process.wait(60) == 0


def test_umount_of_what_is_no_mount_of_ours(sandbox):
    for place in (sandbox.directory("m"), sandbox.root / "missing", "/proc"):
        sandbox.run("umount", place, code=16)
    sandbox.run("umount", sandbox.root, "--wait", "soon", code=2)


def test_a_dead_mount_is_told_detached_and_replaced(sandbox, filled):
    mount = filled.mount()
    os.kill(mount.process.pid, signal.SIGKILL)
    mount.process.wait()
    assert "umount --dead" in sandbox.run("check-mounted", mount.path, code=16).stderr
    (dead,) = check(filled.json("status"))["volumes"][0]["mounts"]
    assert (dead["state"], dead["mountpoint"]) == ("dead", str(mount.path))
    assert "dead" in sandbox.run("mount", filled.backing, mount.path, code=1).stderr
    sandbox.run("umount", mount.path, "--dead")
    assert not is_mounted(mount.path)
    sandbox.run("umount", mount.path, "--dead")
    again = sandbox.run("mount", filled.backing, mount.path) and filled.json("status")["volumes"][0]["mounts"][0]
    assert "alive" in sandbox.run("umount", mount.path, "--dead", code=1).stderr
    os.kill(again["pid"], signal.SIGKILL)
    wait_for(lambda: sandbox.run("check-mounted", mount.path, code=None).returncode == 16, "the mount is dead")
    sandbox.run("mount", filled.backing, mount.path, "-o", "replace_dead")
    assert (mount.path / "one" / "file").read_bytes() == b"content"
    sandbox.run("umount", mount.path)


# Options.

@pytest.mark.parametrize("arguments", [
    ["-o", "snapshot=one"], ["--snapshot", "one"], ["-o", "require_sealed"], ["--require-sealed"],
    ["-o", "key_timeout=soon"], ["-o", "role=reader"], ["-o", "no_such_option"], ["--write-queue", "much"],
])
def test_options_that_make_no_sense(sandbox, filled, arguments):
    place = sandbox.directory("m")
    sandbox.run("mount", filled.backing, place, *arguments, code=2)
    assert not is_mounted(place)


def test_long_forms_and_short_forms_are_the_same(sandbox, filled):
    for arguments in (["--read-only", "--snapshot", "one"], ["-o", "ro,snapshot=one"], ["-o", "ro", "-o", "snapshot=one"]):
        with filled.mount(arguments=arguments) as mount:
            assert os.listdir(mount.path) == ["file"]
            status = sandbox.json("status", mount.path)["volumes"][0]["mounts"][0]
            assert status["read_only"] and status["snapshot"] == "one"


def test_commas_are_protected_by_backslash_and_quotes(filled):
    with filled.mount() as mount:
        (mount.path / "a,b").mkdir()
        (mount.path / "a,b" / "inside").touch()
    for option in ('snapshot=a\\,b', 'snapshot="a,b"'):
        with filled.mount("ro", option) as mount:
            assert os.listdir(mount.path) == ["inside"]


def test_fsname_is_what_the_mount_table_shows(filled):
    with filled.mount("fsname=nightly") as mount:
        fields = options_of(mount.path)
        assert fields[fields.index("-") + 2] == "nightly"


def test_a_section_names_backing_and_mountpoint(sandbox, filled):
    place = sandbox.directory("m")
    sandbox.configure(f'[volume "nightly"]\nbacking = {filled.backing}\nmountpoint = {place}\n')
    sandbox.run("mount", "nightly")
    assert (place / "one" / "file").read_bytes() == b"content"
    assert check(sandbox.json("status", "nightly"))["volumes"][0]["name"] == "nightly"
    sandbox.run("umount", place)
    sandbox.configure(f'[volume "nightly"]\nbacking = {filled.backing}\n')
    assert "mountpoint" in sandbox.run("mount", "nightly", code=2).stderr


def test_over_the_backing_directory_itself(sandbox, filled):
    """Commands reach the volume through the mount that hides it."""
    with filled.mount(at=filled.backing) as mount:
        assert os.listdir(mount.path) == ["one"]
        assert [row["name"] for row in filled.json("snapshot list")["snapshots"]] == ["one"]
        sandbox.run("snapshot", "create", mount.path, "two")
    assert {row["name"] for row in filled.json("snapshot list")["snapshots"]} == {"one", "two"}


def test_the_second_writer_is_refused_and_told_by_whom(sandbox, filled):
    with filled.mount() as mount:
        output = filled.mount_refused(11)
        assert str(mount.process.pid) in output
        with filled.mount("ro") as reader:
            assert (reader.path / "one" / "file").read_bytes() == b"content"
        assert {entry["read_only"] for entry in filled.json("status")["volumes"][0]["mounts"]} == {False}


def test_a_read_only_mount_reports_each_key_and_fails_when_none_works(sandbox, filled):
    keyring = sandbox.state / "keyring"
    sandbox.run("keyring", "add", keyring, "second")
    filled.run("keys set-default", f"keyring://{keyring}#second")
    filled.run("snapshot create", "two")
    sandbox.run("keyring", "disable", keyring, "default")
    with filled.mount("ro") as mount:
        assert set(os.listdir(mount.path)) == {"one", "two"}
    sandbox.run("keyring", "disable", keyring, "second")
    filled.mount_refused(12, "ro")


# What is known about mounts.

def test_check_mounted(sandbox, filled):
    with filled.mount() as mount:
        for path in (mount.path, mount.path / "one", mount.path / "one" / "file"):
            output = check(sandbox.json("check-mounted", path))
            assert output["mounted"] and output["mountpoint"] == str(mount.path)
            assert output["volume"] == filled.json("volume show")["volume"] and output["state"] == "serving"
        place = mount.path
    for path in (place, filled.backing, sandbox.root / "missing", "/proc"):
        output = check(json.loads(sandbox.run("check-mounted", path, "--json", code=16).stdout))
        assert not output["mounted"]


def test_check_mounted_for_a_job_of_another_user(sandbox, filled):
    """It may not ask the socket, and need not."""
    with filled.mount() as mount:
        sandbox.root.chmod(0o755)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sandbox.binary,
                               "check-mounted", mount.path], capture_output=True, text=True, check=False,
                              env={**sandbox.environment, "ASAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == 0, done.stderr


def test_status(sandbox, filled):
    with filled.mount() as mount:
        with open(mount.path / "one" / "file", "rb"):
            (shown,) = check(filled.json("status"))["volumes"]
        (entry,) = shown["mounts"]
        assert entry["pid"] == mount.process.pid and entry["open_files"] == 1 and entry["state"] == "serving"
        assert shown["lock"]["pid"] == mount.process.pid and shown["snapshots"]["open"] == 1
        (key,) = shown["keys"]
        assert key["key_id"] == shown["encryption_key_id"] and key["data_keys"] >= 1
        text = sandbox.run("status").stdout
        assert f"mounted at {mount.path}: serving" in text and shown["encryption_key_id"] in text
    (shown,) = check(sandbox.json("status"))["volumes"]
    assert shown["mounts"] == [] and shown["lock"] is None
    assert "not mounted" in sandbox.run("status").stdout


def test_status_on_a_host_that_knows_nothing(sandbox):
    output = check(sandbox.json("status"))
    assert output["writer"] is None and output["volumes"] == []
    assert not list(sandbox.state.iterdir()), "asking makes nothing"


# The socket.

def socket_of(sandbox):
    (found,) = wait_for(lambda: list(sandbox.runtime.glob("*.sock")), "the mount listens")
    return found


def ask(sandbox, data, wait=True):
    path = socket_of(sandbox)
    with socket.socket(socket.AF_UNIX) as peer:
        here = os.open(path.parent, os.O_PATH)
        try:
            peer.connect(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
        peer.settimeout(30)
        with contextlib.suppress(BrokenPipeError):
            peer.sendall(data)
        answer = b""
        while wait and (part := peer.recv(65536)):
            answer += part
        return answer


def test_the_socket_is_the_owners_and_goes_with_the_mount(sandbox, filled):
    with filled.mount() as mount:
        path = socket_of(sandbox)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        identity = sandbox.json("check-mounted", mount.path)
        assert path.name == f"{identity['volume']}-{identity['mount']}.sock"
    assert not list(sandbox.runtime.iterdir())


def test_the_socket_survives_nonsense(sandbox, filled):
    with filled.mount():
        for data in (b"\n", b"{}\n", b"[]\n", b'{"command":"rm -rf"}\n', b'{"command":7}\n', b"[" * 10000 + b"\n",
                     b'{"command":"keys trust"}\n', b'{"command":"keys set-default"}\n', b"\xff\xfe\n"):
            assert json.loads(ask(sandbox, data))["ok"] is False
        with contextlib.suppress(ConnectionResetError):
            assert ask(sandbox, b"x" * 600_000) == b""
        assert json.loads(ask(sandbox, b'{"command":"status"}\n'))["ok"] is True


def test_silent_peers_hold_nothing_up(sandbox, filled):
    with filled.mount() as mount:
        path = socket_of(sandbox)
        peers = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        here = os.open(path.parent, os.O_PATH)
        for peer in peers:
            peer.connect(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
        wait_for(lambda: sandbox.run("status", mount.path, code=None).returncode == 0, "the socket answers again")
        start = time.monotonic()
        mount.umount()
        assert time.monotonic() - start < 20
        for peer in peers:
            peer.close()


def test_another_user_gets_no_answer(sandbox, filled):
    with filled.mount():
        path = socket_of(sandbox)
        for place in (sandbox.root, sandbox.runtime):
            place.chmod(0o755)
        path.chmod(0o666)
        script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
                  "s.sendall(b'{\"command\":\"status\"}\\n'); print(len(s.recv(100)))")
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3",
                               "-c", script, path], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "0" or "ConnectionReset" in done.stderr or "BrokenPipe" in done.stderr


def test_a_runtime_directory_that_others_may_write_is_not_believed(sandbox, filled):
    sandbox.runtime.chmod(0o777)
    done = sandbox.run("snapshot", "create", filled.backing, "x", code=1)
    assert "open to others" in done.stderr


# The helpers of mount(8).

def test_the_helpers_mount_and_unmount(sandbox, filled, helper):
    place = sandbox.directory("m")
    for name in ("snapcrypt", "fuse.snapcrypt"):
        assert helper(f"mount.{name}", filled.backing, place, "-o", "rw,noatime,nofail,_netdev,x-systemd.automount") == ""
        fields = options_of(place)
        assert fields[fields.index("-") + 1] == "fuse.snapcrypt" and "noatime" in fields[5]
        assert (place / "one" / "file").read_bytes() == b"content"
        assert helper(f"umount.{name}", place) == ""
        assert not is_mounted(place)


def test_the_helpers_flags(sandbox, filled, helper):
    place = sandbox.directory("m")
    helper("mount.snapcrypt", filled.backing, place, "-f")
    assert not is_mounted(place)
    helper("mount.snapcrypt", filled.backing, place, "-n", "-v", "-t", "fuse.snapcrypt", "-o", "ro")
    helper("umount.fuse.snapcrypt", place, "-n", "-v", "-r", "-t", "fuse.snapcrypt")
    assert "bogus" in helper("mount.snapcrypt", filled.backing, place, "-o", "bogus", code=1)
    helper("mount.snapcrypt", "-s", filled.backing, place, "-o", "ro,bogus,noatime")
    with open(place / "one" / "file", "rb"):
        helper("umount.snapcrypt", place, code=32)
        helper("umount.snapcrypt", place, "-l")
    assert not is_mounted(place)


def test_the_helpers_codes_are_those_of_mount(sandbox, filled, helper):
    place = sandbox.directory("m")
    helper("mount.snapcrypt", filled.backing, code=1)
    helper("mount.snapcrypt", filled.backing, place, "-Q", code=1)
    helper("mount.snapcrypt", filled.backing, place, "-o", "snapshot=one", code=1)
    helper("mount.snapcrypt", sandbox.root / "missing", place, code=32)
    helper("umount.snapcrypt", code=1)
    helper("umount.snapcrypt", place, code=32)
    sandbox.run("keyring", "disable", sandbox.state / "keyring", "default")
    assert "disabled" in helper("mount.snapcrypt", filled.backing, place, code=32)


def test_the_umount_helper_detaches_a_dead_mount(filled, helper):
    mount = filled.mount()
    os.kill(mount.process.pid, signal.SIGKILL)
    mount.process.wait()
    helper("umount.fuse.snapcrypt", mount.path)
    assert not is_mounted(mount.path)


@pytest.fixture
def installed(sandbox):
    """The helpers where mount(8) looks for them."""
    made = []
    if os.geteuid() != 0:
        pytest.skip("only root can install helpers")
    for name in HELPERS:
        path = Path("/sbin") / name
        if path.exists() or path.is_symlink():
            for done in made:
                done.unlink()
            pytest.skip(f"{path} is there already")
        # Environment does not reach a helper through every mount(8): the script brings it along.
        lines = [f"export {key}='{value}'" for key, value in sandbox.environment.items()]
        (sandbox.root / name).symlink_to(sandbox.binary)
        path.write_text("#!/bin/sh\n" + "\n".join(lines) + f'\nexec {sandbox.root / name} "$@"\n')
        path.chmod(0o755)
        made.append(path)
    yield
    for path in made:
        path.unlink()


@pytest.mark.serial
def test_mount_and_umount_of_util_linux(sandbox, filled, installed):
    place = sandbox.directory("m")
    for name in ("snapcrypt", "fuse.snapcrypt"):
        subprocess.run(["mount", "-t", name, "-o", "noatime,user,_netdev", filled.backing, place], check=True)
        assert (place / "one" / "file").read_bytes() == b"content"
        (place / "one" / name).write_bytes(os.urandom(1_000_000))
        subprocess.run(["umount", place], check=True)
        # umount(8) has returned, so the next writer finds the volume released.
        assert check(filled.json("status"))["volumes"][0]["lock"] is None
    done = subprocess.run(["mount", "-t", "snapcrypt", sandbox.root / "missing", place], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 32


@pytest.mark.serial
def test_a_line_of_fstab(sandbox, filled, installed):
    place, fstab = sandbox.directory("m"), sandbox.root / "fstab"
    fstab.write_text(f"{filled.backing} {place} fuse.snapcrypt ro,noauto,nofail,_netdev,x-systemd.mount-timeout=2min 0 0\n")
    subprocess.run(["mount", "-T", fstab, place], check=True)
    assert (place / "one" / "file").read_bytes() == b"content"
    assert re.search(r"\bro\b", options_of(place)[5])
    subprocess.run(["umount", place], check=True)
    assert not is_mounted(place)
