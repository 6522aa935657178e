# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, "Attributes" and "Keys"."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import textwrap
import time

import pytest

NOBODY, OTHERS = 65534, 1234
# cap_net_raw+ep, as the kernel stores it (version 2).
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
ODD_TIMES = [(-2_000_000_000_123_456_789, -1), (0, 1), (1_600_000_000_123_456_789, 1_500_000_000_987_654_321),
             (4_200_000_000_000_000_001, 3_000_000_000_000_000_002)]


def error_of(action, *arguments, **keywords):
    try:
        action(*arguments, **keywords)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def as_user(code, *arguments, uid=NOBODY, gid=NOBODY, groups=()):
    """Run Python as another user; what it prints."""
    def become():
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.umask(0o022)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], preexec_fn=become,
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def place(mount):
    """A snapshot; everybody may reach it."""
    for directory in (mount.sandbox.root, mount.path):
        directory.chmod(0o755)
    path = mount.path / "s"
    path.mkdir()
    path.chmod(0o755)
    return path


def test_modes_owners_and_times_are_kept(volume):
    """S-18"""
    def look(path):
        info = path.lstat()
        return (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_atime_ns, info.st_mtime_ns)

    before = {}
    with volume.mount("noatime") as mount:
        place = mount.path / "s"
        place.mkdir()
        for number, times in enumerate(ODD_TIMES):
            for kind in ("file", "directory", "link"):
                path = place / f"{kind}-{number}"
                {"file": lambda: path.write_bytes(b"x" * 70_000), "directory": path.mkdir,
                 "link": lambda: path.symlink_to("x")}[kind]()
                os.chown(path, 1000 + number, 2000 + number, follow_symlinks=False)
                if kind != "link":
                    path.chmod(0o7000 >> number | 0o640)
                os.utime(path, ns=times, follow_symlinks=False)
        for path in place.iterdir():
            before[path.name] = look(path)
            assert before[path.name][3:] == ODD_TIMES[int(path.name[-1])]
    with volume.mount("ro") as mount:
        assert {path.name: look(path) for path in (mount.path / "s").iterdir()} == before


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
def test_times_that_were_set_stay(volume, size):
    """S-19: set on the open file, as tar and rsync do, and overwritten in place before that."""
    stamp = (1_500_000_000_000_000_001, 1_500_000_000_000_000_002)
    with volume.mount("noatime") as mount:
        (mount.path / "s").mkdir()
        path = mount.path / "s" / "file"
        for flags in (os.O_CREAT | os.O_WRONLY, os.O_RDWR):
            file = os.open(path, flags)
            for start in range(0, size, 131_072):
                os.write(file, bytes(min(131_072, size - start)))
            os.utime(file, ns=stamp)
            assert os.fstat(file).st_mtime_ns == stamp[1]
            os.fsync(file)
            os.close(file)
            assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == stamp
        backing, = volume.files("s")
        time.sleep(0.1)
        assert backing.stat().st_mtime_ns == stamp[1]
    assert backing.stat().st_mtime_ns == stamp[1]


def test_writing_changes_times(place):
    """S-19: times that nobody sets are those of the last write."""
    path = place / "file"
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    with open(path, "ab", buffering=0) as file:
        file.write(b"y" * 100_000)
        assert time.time() - os.fstat(file.fileno()).st_mtime < 60
    assert time.time() - path.stat().st_mtime < 60


@pytest.mark.parametrize("how", ["O_WRONLY", "O_RDWR", "O_WRONLY | os.O_APPEND"])
def test_a_write_takes_privileges_away(place, how):
    """S-20"""
    path = place / "program"
    path.write_bytes(b"x" * 100)
    os.chown(path, NOBODY, NOBODY)
    for mode, expected in ((0o6775, 0o775), (0o2764, 0o2764)):
        path.chmod(mode)
        as_user(f"import os, sys; os.write(os.open(sys.argv[1], os.{how}), b'y')", path)
        assert stat.S_IMODE(path.stat().st_mode) == expected
    path.chmod(0o4755)
    file = os.open(path, os.O_WRONLY)
    os.write(file, b"root may")
    os.close(file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o4755


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR])
def test_a_write_takes_capabilities_away(place, flags):
    """S-20"""
    path = place / "program"
    path.write_bytes(b"x" * 100)
    os.setxattr(path, "security.capability", CAPABILITY)
    assert os.getxattr(path, "security.capability") == CAPABILITY
    file = os.open(path, flags)
    os.write(file, b"y")
    os.close(file)
    assert error_of(os.getxattr, path, "security.capability") == "ENODATA"


def test_attributes_come_back(volume):
    """S-21"""
    values = {"user.empty": b"", "user.note": b"value", "user.binary": bytes(range(256)), "user." + "n" * 150: b"long",
              "trusted.note": b"trusted", "user.large": os.urandom(2_000)}
    with volume.mount() as mount:
        for path in (mount.path / "s", mount.path / "s" / "file", mount.path / "s" / "directory"):
            path.write_bytes(b"x") if path.name == "file" else path.mkdir()
            for name, value in values.items():
                os.setxattr(path, name, value)
            assert error_of(os.setxattr, path, "user.note", b"", os.XATTR_CREATE) == "EEXIST"
            assert error_of(os.setxattr, path, "user.none", b"", os.XATTR_REPLACE) == "ENODATA"
            os.setxattr(path, "user.gone", b"x")
            os.removexattr(path, "user.gone")
            assert error_of(os.removexattr, path, "user.gone") == "ENODATA"
        os.setxattr(mount.path / "s" / "file", "security.capability", CAPABILITY)
    with volume.mount("ro") as mount:
        for path in (mount.path / "s", mount.path / "s" / "file", mount.path / "s" / "directory"):
            found = {name: os.getxattr(path, name) for name in os.listxattr(path)}
            assert found.pop("security.capability", None) == (CAPABILITY if path.name == "file" else None)
            assert found == values


def test_acls_are_kept_enforced_and_inherited(place):
    """S-22"""
    directory = place / "shared"
    directory.mkdir(mode=0o700)
    secret = directory / "secret"
    secret.write_bytes(b"secret")
    secret.chmod(0o600)
    read = "import sys; print(open(sys.argv[1]).read())"
    for path in (directory, secret):
        subprocess.run(["setfacl", "-m", f"u:{NOBODY}:rx", path], check=True)
    assert as_user(read, secret) == "secret"
    assert error_as(read, secret, uid=OTHERS, gid=OTHERS) == "EACCES"
    subprocess.run(["setfacl", "-d", "-m", f"u:{OTHERS}:rwx,g::rx,o::-", directory], check=True)
    inherited = directory / "inherited"
    inherited.write_bytes(b"x")
    (directory / "below").mkdir()
    acl = subprocess.run(["getfacl", "-cn", inherited], check=True, capture_output=True, text=True).stdout
    assert f"user:{OTHERS}:rwx" in acl
    acl = subprocess.run(["getfacl", "-cnd", directory / "below"], check=True, capture_output=True, text=True).stdout
    assert f"user:{OTHERS}:rwx" in acl
    subprocess.run(["setfacl", "-b", secret], check=True)
    assert error_as(read, secret) == "EACCES"


def error_as(code, *arguments, **user):
    wrapped = ("import errno, sys\ntry:\n" + textwrap.indent(textwrap.dedent(code), "    ")
               + "\nexcept OSError as error:\n    print(errno.errorcode[error.errno])")
    return as_user(wrapped, *arguments, **user)


def test_new_objects_belong_to_their_maker(place):
    """S-23"""
    place.chmod(0o777)
    as_user("""
        import os, sys
        os.chdir(sys.argv[1])
        os.umask(0o027)
        open("file", "w").close()
        os.mkdir("directory")
        os.symlink("x", "link")
        os.mkfifo("fifo")
        os.close(os.open("program", os.O_CREAT | os.O_WRONLY, 0o777))
    """, place)
    for name, mode in (("file", 0o640), ("directory", 0o750), ("link", 0o777), ("fifo", 0o640), ("program", 0o750)):
        info = (place / name).lstat()
        assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (NOBODY, NOBODY, mode), name
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, 0, OTHERS)
    shared.chmod(0o2777)
    as_user("import os, sys; os.chdir(sys.argv[1]); open('file', 'w'); os.mkdir('directory')", shared)
    assert (shared / "file").stat().st_gid == (shared / "directory").stat().st_gid == OTHERS
    assert (shared / "directory").stat().st_mode & stat.S_ISGID
    # By a group that only the kernel knows of.
    closed = place / "closed"
    closed.mkdir()
    os.chown(closed, 0, OTHERS)
    closed.chmod(0o770)
    as_user("import os, sys; open(sys.argv[1] + '/file', 'w').close()", closed, groups=[OTHERS])
    assert (closed / "file").stat().st_uid == NOBODY


def test_snapshots_of_ordinary_users(mount):
    """S-23: the directory is theirs, what is written about its key is not."""
    for directory in (mount.sandbox.root, mount.path):
        directory.chmod(0o777)
    as_user("""
        import os, sys
        os.mkdir(sys.argv[1] + "/theirs")
        open(sys.argv[1] + "/theirs/file", "w").write("x")
    """, mount.path)
    info = (mount.path / "theirs").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (NOBODY, NOBODY, 0o755)
    control = mount.volume.control
    assert all(os.lstat(os.path.join(directory, name)).st_uid == 0
               for directory, names, files in os.walk(control) for name in names + files)


def test_permissions_are_checked(place):
    """S-24"""
    path = place / "file"
    path.write_bytes(b"x")
    path.chmod(0o600)
    assert error_as("import sys; open(sys.argv[1])", path) == "EACCES"
    assert error_as("import os, sys; os.unlink(sys.argv[1])", path) == "EACCES"
    assert error_as("import os, sys; os.chmod(sys.argv[1], 0o777)", path) == "EPERM"
    assert error_as("import os, sys; os.utime(sys.argv[1], (1, 1))", path) == "EPERM"
    assert error_as("import os, sys; os.rename(sys.argv[1], sys.argv[1] + '2')", path) == "EACCES"
    path.chmod(0o644)
    assert as_user("import sys; print(open(sys.argv[1]).read())", path) == "x"


def test_what_the_mount_tells_about_keys(mount, place):
    """S-25"""
    (place / "file").write_bytes(b"x")
    (place / "directory").mkdir()
    names = ["key_id", "data_key_id", "snapshot", "state"]
    found = []
    for path in (place, place / "file", place / "directory"):
        assert [name for name in os.listxattr(path) if "snapcrypt" in name] == []
        found.append([os.getxattr(path, f"user.snapcrypt.{name}") for name in names])
        for name in [f"user.snapcrypt.{name}" for name in names] + ["user.snapcrypt.x.y", "trusted.snapcrypt.x.y"]:
            assert error_of(os.setxattr, path, name, b"x") == "EPERM"
    assert found[0] == found[1] == found[2]
    key_id, data_key_id, snapshot, state = found[0]
    assert key_id.startswith(b"keyring:") and len(data_key_id) == len(snapshot) == 36 and state == b"open"


def test_space(mount):
    """S-26"""
    here, below = os.statvfs(mount.path), os.statvfs(mount.volume.backing)
    assert (here.f_blocks * here.f_frsize, here.f_namemax) == (below.f_blocks * below.f_frsize, 255)
    assert abs(here.f_bavail * here.f_frsize - below.f_bavail * below.f_frsize) < 1 << 30


def test_locks(place):
    """S-27"""
    path = place / "file"
    path.write_bytes(b"x")
    attempt = """
        import errno, fcntl, sys
        file = open(sys.argv[1], "r+")
        try:
            getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            print(errno.errorcode[error.errno])
    """
    path.chmod(0o666)
    for call in ("flock", "lockf"):
        with open(path, "r+b") as file:
            getattr(fcntl, call)(file, fcntl.LOCK_EX)
            assert as_user(attempt, path, call) in ("EAGAIN", "EACCES")
        assert as_user(attempt, path, call) == ""


def test_keys_that_go_and_come(sandbox, volume):
    """S-28, S-29"""
    sandbox.allow("disabled")
    keyring = sandbox.state / "keyring"

    def outcome(action):
        try:
            return action()
        except OSError as error:
            return errno.errorcode[error.errno]

    def wait_for(action, expected):
        deadline = time.monotonic() + 20
        while (found := outcome(action)) != expected:
            assert time.monotonic() < deadline, f"{found} instead of {expected}"
            time.sleep(0.1)

    with volume.mount() as mount:
        (mount.path / "s").mkdir()
        (mount.path / "s" / "file").write_bytes(b"content")
    with volume.mount("ro", "key_poll=1s") as mount:
        path = mount.path / "s" / "file"
        sandbox.run("keyring", "disable", keyring, "default")
        wait_for(path.read_bytes, "EKEYREVOKED")
        assert os.listdir(mount.path) == ["s"] and (mount.path / "s").is_dir()
        sandbox.run("keyring", "enable", keyring, "default")
        wait_for(path.read_bytes, b"content")
        file = os.open(path, os.O_RDONLY)
        assert os.pread(file, 7, 0) == b"content"
        sandbox.run("keyring", "disable", keyring, "default")
        wait_for(lambda: os.pread(file, 7, 0), "EKEYREVOKED")
        assert outcome(lambda: os.listdir(mount.path / "s")) == "EKEYREVOKED"
        assert outcome(path.stat) == outcome(path.read_bytes) == "EKEYREVOKED"
        assert os.listdir(mount.path) == ["s"] and (mount.path / "s").is_dir()
        sandbox.run("keyring", "enable", keyring, "default")
        wait_for(lambda: os.pread(file, 7, 0), b"content")
        assert path.read_bytes() == b"content" and os.listdir(mount.path / "s") == ["file"]
        os.close(file)
