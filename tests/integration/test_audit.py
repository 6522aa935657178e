# SPDX-License-Identifier: Apache-2.0
"""The audit log: who used which key, and what becomes of a log that somebody changed or a crash cut."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakes.fake_aws import FakeAws
from fakes.pki import write_secret
from schema import check


@pytest.fixture
def log(sandbox):
    return sandbox.state / "audit.log"


@pytest.fixture
def head(sandbox):
    return sandbox.state / "audit.head"


@pytest.fixture
def keyring(sandbox):
    """A keyring whose use writes lines without a volume."""
    path = sandbox.root / "keys"
    sandbox.run("keyring", "init", path)
    return f"keyring://{path}#default"


KEPT = {}


@pytest.fixture
def written(sandbox, keyring, log, head):
    """A log of eight lines, written once."""
    if not KEPT:
        for _ in range(4):
            sandbox.run("keys", "test", keyring)
        KEPT.update({"audit.log": log.read_bytes(), "audit.head": head.read_bytes()})
    for name, data in KEPT.items():
        (sandbox.state / name).write_bytes(data)
        (sandbox.state / name).chmod(0o600)
    assert len(log.read_bytes().splitlines()) == 8
    return log


def entries(sandbox, *arguments):
    return check(sandbox.json("audit", "show", *arguments))["entries"]


def verify(sandbox, code=0, *arguments):
    return check(sandbox.json("audit", "verify", *arguments, code=code))


def texts(output):
    return [finding["text"] for finding in output["findings"]]


def rehash(line):
    """The line with the hash of what it says now."""
    body = line[:line.rindex(b',"hash":"')]
    return body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def test_each_use_of_a_key_is_a_line(sandbox, log, head):
    volume = sandbox.init()
    volume.run("snapshot create", "s1")
    mount = volume.mount()
    (mount.path / "s1" / "file").write_bytes(b"x")
    mount.umount()
    lines = entries(sandbox)
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["operation"] for line in lines} == {"wrap", "unwrap"}
    assert {line["outcome"] for line in lines} == {"ok"}
    snapshot = volume.json("snapshot list")["snapshots"][0]
    about = [line for line in lines if line.get("snapshot") == snapshot["id"]]
    assert [line["operation"] for line in about] == ["wrap", "unwrap"]
    assert [line["command"] for line in about] == ["snapshot create", "mount"]
    assert len({line["data_key"] for line in about}) == 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in (log, head)} == {0o600}
    output = verify(sandbox)
    assert output["lines"] == output["last"] == len(lines) and output["head"] == lines[-1]["hash"]
    assert not output["findings"] and not output["notes"]


def test_the_chain_can_be_computed_by_others(written):
    previous = "0" * 64
    for line in written.read_bytes().splitlines():
        entry = json.loads(line)
        assert entry["previous"] == previous
        previous = hashlib.sha256(line[:line.rindex(b',"hash"')]).hexdigest()
        assert entry["hash"] == previous


def test_lines_are_selected(sandbox, keyring):
    volume = sandbox.init()
    volume.run("snapshot create", "s1")
    sandbox.run("keys", "test", keyring)
    everything = entries(sandbox)
    identity = everything[-1]["key_id"]
    assert [line["command"] for line in entries(sandbox, "--key", identity)] == ["keys test"] * 2
    assert len(entries(sandbox, "--operation", "unwrap")) == sum(
        line["operation"] == "unwrap" for line in everything)
    own = entries(sandbox, "--volume", volume.backing)
    assert own and {line["volume"] for line in own} == {volume.json("volume show")["volume"]}
    assert own == entries(sandbox, "--volume", own[0]["volume"])
    assert not entries(sandbox, "--since", "2999-01-01")
    assert entries(sandbox, "--since", "2001-01-01", "--until", "2999-01-01") == everything
    text = sandbox.run("audit", "show").stdout
    assert text.startswith("TIME") and len(text.splitlines()) == len(everything) + 1
    sandbox.run("audit", "show", "--operation", "cooking", code=2)


def test_an_empty_log_is_whole(sandbox):
    assert verify(sandbox)["lines"] == 0 and not entries(sandbox)


@pytest.mark.parametrize("change, expected", [
    (lambda lines: lines[:2] + lines[3:], ["1 removed before it"]),
    (lambda lines: lines[1:], ["1 removed before it"]),
    (lambda lines: lines[:-3], ["3 removed at the end"]),
    (lambda lines: lines[:2] + [lines[2].replace(b'"ok"', b'"no"')] + lines[3:], ["changed: its hash"]),
    (lambda lines: lines[:2] + [rehash(lines[2].replace(b'"ok"', b'"no"'))] + lines[3:],
     ["does not follow the line before it"]),
    (lambda lines: lines[:2] + [lines[3], lines[2]] + lines[4:], ["removed before it", "moved, repeated or inserted"]),
    (lambda lines: lines[:5] + [lines[1]] + lines[5:], ["moved, repeated or inserted"]),
    (lambda lines: lines[:5] + [b"rubbish\n"] + lines[5:], ["not a line of an audit log"]),
    (lambda lines: lines[:5] + [b"rubbish\n"] * 3 + lines[5:], ["this and the next 2"]),
    (lambda lines: [], ["8 removed at the end"]),
    (lambda lines: lines[:-1] + [rehash(lines[-1].replace(b'"ok"', b'"no"'))],
     ["not the line that this host remembers"]),
], ids=["removed", "removed-first", "cut", "changed", "changed-with-hash", "swapped", "repeated", "rubbish",
        "more-rubbish", "emptied", "last-forged"])
def test_a_change_is_found_and_named(sandbox, written, change, expected):
    written.write_bytes(b"".join(change(written.read_bytes().splitlines(keepends=True))))
    output = verify(sandbox, 4)
    found = texts(output)
    assert len(found) == len(expected), found
    for wanted, text in zip(expected, found):
        assert wanted in text
    assert all(finding["file"] == str(written) and finding["line"] >= 1 for finding in output["findings"])
    said = sandbox.run("audit", "verify", code=4)
    assert f"{written}:{output['findings'][0]['line']}: " in said.stdout


def test_what_was_found_is_found_after_more_was_written(sandbox, keyring, written, head):
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:-3]))
    sandbox.run("keys", "test", keyring)
    assert "3 removed before it" in " ".join(texts(verify(sandbox, 4)))
    head.unlink()
    sandbox.run("keys", "test", keyring)
    assert any("audit.head was lost" in text for text in texts(verify(sandbox, 4)))


def test_a_lost_head_is_a_finding(sandbox, written, head):
    head.unlink()
    assert "audit.head is lost" in texts(verify(sandbox, 4))[0]


def test_lines_behind_the_head(sandbox, keyring, written, head):
    """A crash may come between a line and its head, once; more was not us."""
    before = head.read_bytes()
    sandbox.run("keys", "test", keyring)
    more = written.read_bytes().splitlines(keepends=True)
    head.write_bytes(before)
    assert "2 lines more" in texts(verify(sandbox, 4))[0]
    written.write_bytes(b"".join(more[:-1]))
    assert not verify(sandbox)["findings"]
    sandbox.run("keys", "test", keyring)
    assert verify(sandbox)["last"] == 11


@pytest.mark.parametrize("rest", [b'{"sequence":9,"prev', b"\0" * 700, b'{"a":1}\n', b"\n\n{"],
                         ids=["cut", "zeros", "other", "lines"])
def test_a_cut_line_is_told_and_continued(sandbox, keyring, written, rest):
    with open(written, "ab") as file:
        file.write(rest)
    assert not verify(sandbox)["findings"] and len(verify(sandbox)["notes"]) == 1
    sandbox.run("keys", "test", keyring)
    output = verify(sandbox)
    assert not output["findings"] and "crash" in output["notes"][0]["text"] and output["last"] == 10
    # That it is told does not cover another change there.
    written.write_bytes(written.read_bytes().replace(rest, rest + b"more"))
    verify(sandbox, 4)


def test_a_hash_kept_elsewhere_uncovers_a_log_made_anew(sandbox, keyring, written, head):
    kept = verify(sandbox)["head"]
    sandbox.run("keys", "test", keyring)
    verify(sandbox, 0, "--expect-head", kept)
    written.unlink()
    head.unlink()
    sandbox.run("keys", "test", keyring)
    assert not verify(sandbox)["findings"]
    assert kept in texts(verify(sandbox, 4, "--expect-head", kept))[0]


def test_a_full_log_is_put_away_and_the_chain_goes_on(sandbox, keyring, written, head):
    """A sparse log of 64 MiB stands for a full one: only its end is looked at."""
    sequence, first, offset, last = head.read_text().split()
    os.truncate(written, 64 << 20)
    head.write_text(f"{sequence} {first} {64 << 20:020} {last}\n")
    sandbox.run("keys", "test", keyring)
    old = written.with_name("audit.log.000000000001")
    assert old.stat().st_size == 64 << 20 and len(written.read_bytes().splitlines()) == 2
    os.truncate(old, int(offset))
    output = verify(sandbox)
    assert output["lines"] == 10 and not output["findings"]
    old.unlink()
    output = verify(sandbox)
    assert output["first"] == 9 and not output["findings"]
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(lines[1])
    assert "1 removed before it" in texts(verify(sandbox, 4))[0]


def test_putting_away_may_be_interrupted(sandbox, keyring, written, head):
    written.rename(written.with_name("audit.log.000000000001"))
    sandbox.run("keys", "test", keyring)
    output = verify(sandbox)
    assert output["lines"] == 10 and not output["findings"]


def test_many_processes_append_to_one_chain(sandbox, keyring):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sandbox.run("keys", "test", keyring), range(12)))
    output = verify(sandbox)
    assert output["lines"] == output["last"] == 24 and not output["findings"]


def test_a_killed_process_leaves_a_log_that_is_whole(sandbox, keyring):
    for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        process = subprocess.Popen([sandbox.binary, "keys", "test", keyring], env=sandbox.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not verify(sandbox)["findings"]
    sandbox.run("keys", "test", keyring)
    assert not verify(sandbox)["findings"]


def test_a_log_that_cannot_be_written_warns_or_blocks(sandbox, keyring, log):
    log.mkdir()
    warned = sandbox.run("keys", "test", keyring).stderr
    assert warned.count("audit log") == 1 and str(log) in warned
    sandbox.configure("[global]\naudit_on_failure = block\n")
    assert "audit_on_failure" in sandbox.run("keys", "test", keyring, code=None).stderr
    log.rmdir()
    sandbox.run("keys", "test", keyring)
    assert not verify(sandbox)["findings"]


def test_the_log_may_lie_elsewhere(sandbox, keyring, log):
    place = sandbox.directory("logs") / "keys.log"
    sandbox.configure(f"[global]\naudit_log = {place}\n")
    sandbox.run("keys", "test", keyring)
    assert len(place.read_bytes().splitlines()) == 2 and not log.exists()
    assert verify(sandbox)["lines"] == 2


def test_request_ids_and_refusals_of_a_service(sandbox, authority, tmp_path):
    """Against our own fake of AWS KMS."""
    with FakeAws(authority) as fake:
        key, user = fake.add_key("backup"), fake.add_user()
        uri = f"awskms:///{key.arn}"
        sandbox.configure("\n".join([
            '[key "aws"]', f"uri = {uri}", f"endpoint = {fake.url}", f"ca_file = {fake.ca_file}",
            f"access_key_id = {user.access_key_id}",
            f"secret_access_key_file = {write_secret(tmp_path / 'secret', user.secret)}", ""]))
        sandbox.run("keys", "test", uri)
        key.state = "Disabled"
        sandbox.run("keys", "test", uri, code=12)
        wrap, unwrap, refused = entries(sandbox)
    assert wrap["service_operation"] == "GenerateDataKey" and unwrap["service_operation"] == "Decrypt"
    assert wrap["http_status"] == 200 and wrap["principal"] == user.access_key_id
    identities = [line["request_id"] for line in (wrap, unwrap, refused)]
    assert all(identities) and len(set(identities)) == 3
    assert refused["outcome"] == "disabled" and refused["service_code"] == "DisabledException"
    assert {line["key_id"] for line in (wrap, unwrap)} == {key.arn}


def test_a_recovery_key_is_told_apart(sandbox):
    private, public = sandbox.root / "private.pem", sandbox.root / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", private],
                   check=True, capture_output=True)
    private.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    volume = sandbox.init("--recovery-key", public)
    volume.run("snapshot create", "s1")
    mount = volume.mount()
    (mount.path / "s1" / "file").write_bytes(b"x")
    mount.umount()
    mount = volume.mount("ro", "snapshot=s1", arguments=("--recovery-key", private))
    assert (mount.path / "file").read_bytes() == b"x"
    mount.umount()
    used = entries(sandbox, "--operation", "recovery-key-used")
    assert used and {line["role"] for line in used} == {"recovery"}
    assert {line["outcome"] for line in used} == {"ok"}
    assert "PRIVATE" not in (sandbox.state / "audit.log").read_text()
