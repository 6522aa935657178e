# SPDX-License-Identifier: Apache-2.0
"""Which key is needed by what: the catalogue, keys usage and keys check, in SQLite and in PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import schema
from fakes.fake_aws import REGION
from postgres import Server, find_programs
from services import aws

NOT_NEEDED, NEEDED, UNKNOWN = 0, 6, 7


@pytest.fixture(scope="module")
def server():
    """One PostgreSQL for all tests here."""
    root = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    shutil.chown(root, "postgres", "postgres")
    made = Server(root, "data", find_programs())
    try:
        made.create()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root, ignore_errors=True)


class Fleet:
    """A host with its keyring, a volume, and a catalogue in one of the databases."""

    def __init__(self, sandbox, url):
        self.sandbox, self.url, self.settings = sandbox, url, {}
        self.configure()
        self.volume = sandbox.init()
        self.keyring = sandbox.state / "keyring"
        self.old = self.key("default")

    def configure(self, **settings):
        self.settings |= settings
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        self.sandbox.configure("\n".join(["[global]", *([f"catalog = {self.url}"] if self.url else []), *lines, ""]))

    def uri(self, name):
        return f"keyring://{self.keyring}#{name}"

    def key(self, name):
        """The Encryption Key ID of a key of the keyring."""
        return self.sandbox.json("keys", "show", self.uri(name))["key_id"]

    def retire(self):
        """New snapshots are under another key from now on."""
        self.sandbox.run("keyring", "add", self.keyring, "new")
        self.sandbox.run("keys", "set-default", self.volume.backing, self.uri("new"))

    def sync(self):
        return schema.check(self.sandbox.json("catalog", "sync"))

    def check(self, code, *arguments, key=None):
        """The object that keys check prints, once it has ended with CODE."""
        found = self.sandbox.json("keys", "check", key or self.old, *arguments, code=code)
        assert found["answer"] == {0: "not-needed", 6: "needed", 7: "unknown"}[code]
        return schema.check(found)

    def doubts(self, *arguments):
        return [volume["doubt"] for volume in self.check(UNKNOWN, "--scope", "host", *arguments)["volumes"]]


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest.fixture
def fleet(sandbox, backend, request):
    if backend == "sqlite":
        return Fleet(sandbox, None)
    server = request.getfixturevalue("server")
    name = sandbox.root.name.lower()
    server.query(f'create database "{name}"')
    return Fleet(sandbox, server.url(name))


def test_the_key_of_new_snapshots_is_needed(fleet):
    found = fleet.check(NEEDED, "--scope", "host")
    assert [place["path"] for place in found["default_of"]] == [str(fleet.volume.backing)]
    fleet.retire()
    assert fleet.doubts() == ["changed"]
    assert fleet.check(NOT_NEEDED, "--scope", "host", "--live")["volumes"][0]["live"]
    fleet.check(NOT_NEEDED, "--scope", "host")


def test_one_hard_linked_file_in_a_younger_snapshot(fleet):
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"A" * 5000)
    fleet.retire()
    with fleet.volume.mount() as mount:
        (mount.path / "b" / "deep").mkdir(parents=True)
        os.link(mount.path / "a" / "file", mount.path / "b" / "deep" / "linked")
        fleet.sync()
        assert {use["name"] for use in fleet.check(NEEDED)["needed_by"]} == {"a", "b"}
        shutil.rmtree(mount.path / "a")
        found = fleet.check(NEEDED, "--live")["needed_by"]
        assert [(use["name"], use["role"]) for use in found] == [("b", "primary")]
        # The marker stays, but nothing in the snapshot is under the key any more.
        (mount.path / "b" / "deep" / "linked").unlink()
        fleet.check(NOT_NEEDED, "--live", "--scope", "host")
    assert list((fleet.volume.control / "keys").glob("*/needed-by/*"))


def test_a_symlink_of_another_snapshot_counts(fleet):
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "link").symlink_to("somewhere")
    fleet.retire()
    with fleet.volume.mount() as mount:
        (mount.path / "b").mkdir()
        os.rename(mount.path / "a" / "link", mount.path / "b" / "link")
        (mount.path / "a").rmdir()
        assert [use["name"] for use in fleet.check(NEEDED, "--live")["needed_by"]] == ["b"]
        (mount.path / "b" / "link").unlink()
        fleet.check(NOT_NEEDED, "--live", "--scope", "host")


def test_volume_unplugged(fleet):
    fleet.retire()
    fleet.sync()
    fleet.check(NOT_NEEDED, "--scope", "host")
    away = fleet.volume.backing.with_name("away")
    fleet.volume.backing.rename(away)
    assert fleet.doubts() == fleet.doubts("--live") == ["unreachable"]
    fleet.sandbox.run("catalog", "sync", code=3)
    # Another volume in its place is not it.
    away.rename(fleet.volume.backing)
    fleet.sync()
    fleet.check(NOT_NEEDED, "--scope", "host")
    fleet.volume.backing.rename(away)
    fleet.sandbox.run("init", fleet.volume.backing, "--key", fleet.uri("new"))
    places = fleet.check(UNKNOWN, "--scope", "host", "--live")["volumes"]
    assert sorted(str(place["doubt"]) for place in places) == ["None", "unreachable"]


def test_volume_changed_since_the_last_sync(fleet):
    fleet.retire()
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
        fleet.sync()
        fleet.check(NOT_NEEDED, "--scope", "host")
        (mount.path / "b").mkdir()
        assert fleet.doubts() == ["changed"]
        fleet.sync()
        (mount.path / "b" / "file").write_bytes(b"x")
        assert fleet.doubts() == ["changed"]
        fleet.check(NOT_NEEDED, "--scope", "host", "--live")


def test_data_that_is_too_old(fleet):
    fleet.retire()
    fleet.sync()
    fleet.configure(catalog_max_age="1s")
    time.sleep(2.1)
    assert fleet.doubts() == ["old"]
    fleet.check(NOT_NEEDED, "--scope", "host", "--live")
    fleet.configure(catalog_max_age="none")
    time.sleep(2.1)
    fleet.check(NOT_NEEDED, "--scope", "host")


def test_offsite_copy_counts_on_its_own(fleet):
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"A")
    copy = fleet.sandbox.root / "offsite"
    subprocess.run(["cp", "-a", fleet.volume.backing, copy], check=True)
    assert schema.check(fleet.sandbox.json("catalog", "register", copy))["volumes"][0]["outcome"] == "synced"
    fleet.retire()
    with fleet.volume.mount() as mount:
        shutil.rmtree(mount.path / "a")
        needed = fleet.check(NEEDED, "--live")["needed_by"]
        assert [(use["path"], use["name"]) for use in needed] == [(str(copy), "a")]
    # Its settings, too, are as old as it is.
    listed = schema.check(fleet.sandbox.json("catalog", "list-volumes"))["volumes"]
    assert {volume["path"] for volume in listed} == {str(copy), str(fleet.volume.backing)}
    fleet.sandbox.run("catalog", "forget", copy, "--dry-run")
    fleet.check(NEEDED, "--live")
    fleet.sandbox.run("catalog", "forget", copy, code=2)
    schema.check(fleet.sandbox.json("catalog", "forget", copy, "--yes"))
    fleet.check(NOT_NEEDED, "--live", "--scope", "host")
    fleet.sandbox.run("catalog", "forget", copy, "--yes", code=10)


def test_offsite_copy_that_was_not_rewrapped(fleet):
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
    copy = fleet.sandbox.root / "offsite"
    subprocess.run(["cp", "-a", fleet.volume.backing, copy], check=True)
    fleet.sandbox.run("catalog", "register", copy)
    fleet.retire()
    fleet.volume.run("keys rewrap", "--to", fleet.uri("new"), "--yes")
    needed = fleet.check(NEEDED, "--live")["needed_by"]
    assert {use["path"] for use in needed} == {str(copy)}
    # The same change reaches the copy with the next synchronisation of the directories.
    subprocess.run(["rsync", "-aX", "--delete", f"{fleet.volume.backing}/", f"{copy}/"], check=True)
    fleet.check(NOT_NEEDED, "--live", "--scope", "host")


def test_recovery_slots_alone_are_a_warning(fleet):
    pem = fleet.sandbox.root / "recovery.pem"
    subprocess.run(["openssl", "genrsa", "-out", fleet.sandbox.root / "private.pem", "2048"], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", fleet.sandbox.root / "private.pem", "-pubout", "-out", pem], check=True,
                   capture_output=True)
    volume = fleet.sandbox.open(fleet.sandbox.directory("backing"))
    recovery = fleet.sandbox.json("init", volume.backing, "--recovery-key", pem)["recovery_keys"][0]["id"]
    with volume.mount() as mount:
        (mount.path / "a").mkdir()
    fleet.sync()
    found = fleet.check(NOT_NEEDED, "--scope", "host", key=recovery)
    assert [(use["name"], use["role"]) for use in found["redundancy"]] == [("a", "recovery")]
    assert "recovery" in fleet.sandbox.run("keys", "check", recovery, "--scope", "host").stderr
    usage = schema.check(fleet.sandbox.json("keys", "usage", recovery))
    assert [(use["name"], use["role"]) for use in usage["uses"]] == [("a", "recovery")]


def test_undeclared_scope(fleet):
    fleet.retire()
    fleet.sync()
    found = fleet.check(UNKNOWN)
    assert not found["scope_declared"] and [volume["doubt"] for volume in found["volumes"]] == [None]
    fleet.check(UNKNOWN, "--scope", "fleet")
    fleet.check(NOT_NEEDED, "--scope", "host")
    fleet.configure(catalog_scope="fleet")
    fleet.check(NOT_NEEDED)
    fleet.check(NOT_NEEDED, "--scope", "fleet")
    fleet.sandbox.run("keys", "check", fleet.old, "--scope", "all", code=2)


def test_keys_are_named_by_uri_and_id(fleet):
    fleet.retire()
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
    fleet.sync()
    for name in (fleet.uri("new"), fleet.key("new")):
        usage = schema.check(fleet.sandbox.json("keys", "usage", name))
        assert [use["name"] for use in usage["uses"]] == ["a"] and usage["key_id"] == fleet.key("new")
        fleet.check(NEEDED, key=name)
    fleet.check(NOT_NEEDED, "--scope", "host", key=fleet.uri("default"))
    for name in ("typo", "alias/backup", "keyring:"):
        fleet.sandbox.run("keys", "check", name, code=2)
    fleet.sandbox.run("keys", "check", "keyring:///nowhere#x", code=UNKNOWN)


def test_a_key_under_an_alias(sandbox, authority, tmp_path):
    with aws(authority, tmp_path) as service:
        uri = f"awskms:///alias/backup?region={REGION}"
        service.uri = uri
        sandbox.configure(service.section())
        volume = sandbox.init("--key", uri)
        with volume.mount() as mount:
            (mount.path / "a").mkdir()
        sandbox.run("keyring", "init", sandbox.state / "keyring")
        sandbox.run("keys", "set-default", volume.backing, f"keyring://{sandbox.state}/keyring#default")
        for name in (uri, service.key_id):
            found = schema.check(sandbox.json("keys", "check", name, "--live", "--scope", "host", code=NEEDED))
            assert [use["name"] for use in found["needed_by"]] == ["a"] and not found["default_of"]
            assert found["key_id"] == service.key_id
        # What the alias points to now is another key; what was written under it before still counts.
        service.fake.add_key("backup")
        found = sandbox.json("keys", "check", uri, "--scope", "host", code=NEEDED)
        assert found["key_id"] != service.key_id
        shutil.rmtree(volume.backing / "a")
        sandbox.run("keys", "check", service.key_id, "--live", "--scope", "host")


def as_other_host(sandbox, name, *arguments, code=0):
    """The program on a host of that name, with a state directory of its own."""
    state = sandbox.root / f"state-{name}"
    state.mkdir(exist_ok=True, mode=0o700)
    done = subprocess.run(["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name, sandbox.binary,
                           *map(str, arguments)], env={**sandbox.environment, "SNAPCRYPT_STATE_DIR": str(state)},
                          text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return done


def test_volumes_of_other_hosts_count_in_a_fleet(fleet, backend):
    fleet.configure(catalog_scope="fleet")
    if backend == "sqlite":
        fleet.configure(catalog=f"sqlite:{fleet.sandbox.root}/shared.db")
        fleet.sandbox.run("catalog", "register", fleet.volume.backing)
    fleet.retire()
    away = fleet.sandbox.directory("away")
    as_other_host(fleet.sandbox, "other", "init", away, "--key", fleet.uri("default"))
    fleet.sync()
    found = fleet.check(NEEDED)
    assert [place["host"] for place in found["default_of"]] == ["other"]
    fleet.check(NOT_NEEDED, "--scope", "host")
    as_other_host(fleet.sandbox, "other", "keys", "set-default", away, fleet.uri("new"))
    # This host cannot see that it has changed; the other one can.
    fleet.check(NEEDED, "--live")
    as_other_host(fleet.sandbox, "other", "catalog", "sync")
    fleet.check(NOT_NEEDED)
    away.rename(away.with_name("gone"))
    as_other_host(fleet.sandbox, "other", "catalog", "sync", code=3)
    assert [volume["doubt"] for volume in fleet.check(UNKNOWN)["volumes"] if volume["host"] == "other"] == [
        "scan-failed"]
    fleet.sandbox.run("catalog", "forget", away, "--host", "other", "--yes")
    fleet.check(NOT_NEEDED)


def test_a_lost_catalogue_says_nothing(fleet, backend, request):
    fleet.retire()
    fleet.sync()
    if backend == "sqlite":
        for path in fleet.sandbox.state.glob("catalog.db*"):
            path.unlink()
    else:
        request.getfixturevalue("server").query("select 1")
        request.getfixturevalue("server").run(
            "psql", *request.getfixturevalue("server").connection(), "-qAtX", "-c",
            "drop table need, kek, snapshot, volume, catalog_version", fleet.sandbox.root.name.lower())
    assert fleet.doubts() == ["unregistered"]
    schema.check(fleet.sandbox.json("catalog", "rebuild", "--dry-run"))
    fleet.sandbox.run("catalog", "rebuild", code=2)
    schema.check(fleet.sandbox.json("catalog", "rebuild", "--yes"))
    fleet.check(NOT_NEEDED, "--scope", "host")


def test_objects_that_do_not_say_their_key_leave_a_doubt(fleet):
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()
        (mount.path / "a" / "file").write_bytes(b"A" * 500)
    fleet.retire()
    with fleet.volume.mount() as mount:
        (mount.path / "b").mkdir()
        os.link(mount.path / "a" / "file", mount.path / "b" / "linked")
        shutil.rmtree(mount.path / "a")
    linked = fleet.volume.files("b")[0]
    header = linked.read_bytes()[:8]
    with open(linked, "r+b") as file:
        file.write(b"nonsense")
    assert fleet.doubts("--live") == ["incomplete"]
    with open(linked, "r+b") as file:
        file.write(header)
    fleet.check(NEEDED, "--live")
    shutil.rmtree(fleet.volume.control / "keys")
    assert fleet.doubts("--live") == ["incomplete"]


def test_a_file_that_is_linked_to_and_fro_is_never_missed(fleet, backend):
    """Between three snapshots, while scans run: whichever it is in, the key is needed."""
    if backend != "sqlite":
        pytest.skip("skipped: scans do not depend on the database")
    with fleet.volume.mount() as mount:
        (mount.path / "old").mkdir()
        (mount.path / "old" / "file").write_bytes(b"A" * 500)
    fleet.retire()
    with fleet.volume.mount() as mount:
        places = []
        for name in ("x", "y", "z"):
            for number in range(30):
                (mount.path / name / str(number)).mkdir(parents=True)
                (mount.path / name / str(number) / "other").write_bytes(b"B")
            places += [mount.path / name / number / "file" for number in ("3", "17", "29")]
        os.rename(mount.path / "old" / "file", places[0])
        (mount.path / "old").rmdir()
        code = ("import os, sys\nplaces = sys.argv[1:]\nat = 0\nwhile True:\n"
                " to = (at + 4) % len(places)\n os.link(places[at], places[to])\n os.unlink(places[at])\n at = to\n")
        mover = subprocess.Popen(["/usr/bin/python3", "-c", code, *map(str, places)], stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 6
            answers = []
            while time.monotonic() < end:
                answers.append(fleet.sandbox.run("keys", "check", fleet.old, "--live", "--scope", "host",
                                                 code=None).returncode)
            assert mover.poll() is None and len(answers) >= 3
            assert set(answers) <= {NEEDED, UNKNOWN}, answers
        finally:
            mover.kill()
            mover.wait()
        fleet.check(NEEDED, "--live")


# ---- The catalogue itself ----

@pytest.mark.parametrize("program", ["test_catalog", "test_key_check"])
def test_unit_tests_hold_on_postgresql(server, binary, program):
    """The same programs that run on SQLite, with fewer histories: a server answers more slowly."""
    path = binary.parent / program
    assert path.is_file(), f"{path} is not built; scripts/test builds it"
    server.query(f"create database {program}")
    done = subprocess.run([path], env={**os.environ, "SNAPCRYPT_TEST_CATALOG": server.url(program),
                                       "SNAPCRYPT_TEST_HISTORIES": "100"},
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=200)
    assert done.returncode == 0, done.stdout


def test_a_damaged_file_is_named_and_made_anew(sandbox):
    fleet = Fleet(sandbox, None)
    fleet.retire()
    fleet.sync()
    database = sandbox.state / "catalog.db"
    for damage in (b"this is no database" * 100, b""):
        for path in sandbox.state.glob("catalog.db-*"):
            path.unlink()
        whole = database.read_bytes()
        database.write_bytes(damage or whole[:4096] + bytes(4096) + whole[8192:])
        refused = sandbox.run("keys", "check", fleet.old, "--scope", "host", code=UNKNOWN)
        assert "is damaged" in refused.stderr and "catalog rebuild" in refused.stderr
        sandbox.run("catalog", "rebuild", "--yes")
        fleet.check(NOT_NEEDED, "--scope", "host")
    assert (sandbox.state / "catalog.db.old").exists()
    # A mount does not need it.
    database.write_bytes(b"this is no database" * 100)
    sandbox.allow("not entered into the catalogue")
    with fleet.volume.mount() as mount:
        (mount.path / "a").mkdir()


def test_mounting_enters_a_volume(fleet):
    copy = fleet.sandbox.root / "copy"
    subprocess.run(["cp", "-a", fleet.volume.backing, copy], check=True)
    with fleet.sandbox.open(copy).mount("ro"):
        pass
    listed = schema.check(fleet.sandbox.json("catalog", "list-volumes"))["volumes"]
    assert {volume["path"]: volume["scanned"] is None for volume in listed} == {
        str(fleet.volume.backing): False, str(copy): True}
    fleet.retire()
    fleet.sandbox.run("catalog", "sync", fleet.volume.backing)
    assert sorted(map(str, fleet.doubts())) == ["None", "never-scanned"]


def test_several_processes_at_once(fleet):
    volumes = [fleet.sandbox.init() for _ in range(3)]
    running = [subprocess.Popen([fleet.sandbox.binary, "catalog", "sync", *extra],
                                env=fleet.sandbox.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
               for extra in ([], *([str(volume.backing)] for volume in volumes), [])]
    assert [process.wait(60) for process in running] == [0] * len(running)
    fleet.check(NOT_NEEDED, "--scope", "host", key="keyring:00000000-0000-4000-8000-000000000000#x")


def test_urls_that_name_no_catalogue(sandbox):
    for url, code in (("mysql://x", 2), ("postgresql://user:word@localhost/x", 2),
                      ("postgresql://localhost:1/x", 13)):
        sandbox.configure(f"[global]\ncatalog = {url}\n")
        refused = sandbox.run("catalog", "list-volumes", code=code)
        assert "word" not in refused.stderr.replace("password", "")
        # Never a reason not to make a volume.
        assert "not entered into the catalogue" in sandbox.run("init", sandbox.directory("b")).stderr


def test_password_of_the_database(sandbox, server):
    server.query("create role agent login password 'a word'")
    name = f"{sandbox.root.name.lower()}_p"
    server.query(f'create database "{name}" owner agent')
    hba = server.data / "pg_hba.conf"
    hba.write_text(f"local {name} agent scram-sha-256\n{hba.read_text()}")
    server.query("select pg_reload_conf()")
    url = f"catalog = postgresql://agent@/{name}?host={server.root}&port={server.port}"
    sandbox.configure(f"[global]\n{url}\n")
    sandbox.run("catalog", "list-volumes", code=1)
    secret = sandbox.root / "password"
    secret.write_text("a word\n")
    secret.chmod(0o600)
    sandbox.configure(f"[global]\n{url}\ncatalog_password_file = {secret}\n")
    sandbox.run("catalog", "list-volumes")
    secret.write_text("another\n")
    sandbox.run("catalog", "list-volumes", code=1)
