# SPDX-License-Identifier: Apache-2.0
"""Command lines: where options may stand, what a mistake answers, exit codes, help."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from schema import check

COMMANDS = ["init", "mount", "umount", "status", "check-mounted", "snapshot list", "snapshots", "snapshot show",
            "snapshot create", "snapshot seal", "snapshot verify", "verify",
            "snapshot tag", "snapshot adopt", "snapshot hold", "snapshot release", "snapshot delete", "prune",
            "policy show", "policy set", "policy lock", "restore", "export", "keys add", "keys list", "keys remove", "keys rewrap",
            "keys show", "keys test", "keys usage", "keys check", "keys set-default", "keys trust",
            "catalog register", "catalog sync", "catalog rebuild", "catalog list-volumes", "catalog forget",
            "keyring init", "keyring list", "keyring add", "keyring enable", "keyring disable", "keyring delete",
            "repair", "volume show", "volume trust", "audit show", "audit verify", "config show", "config check", "version", "completion"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(sandbox, command):
    text = sandbox.run(*command.split(), "--help").stdout
    assert text.startswith(f"usage: snapcrypt {command}")
    assert f"Example:\n  snapcrypt {command}" in text


def test_the_help_lists_every_command_and_no_other(sandbox):
    listed = re.findall(r"^  ([a-z-]+(?: [a-z-]+)?) +\S", sandbox.run("--help").stdout, re.M)
    assert sorted(command.strip() for command in listed) == sorted(COMMANDS)


def test_every_command_is_in_the_manual():
    manual = (Path(__file__).parents[2] / "packaging/man/snapcrypt.1").read_text()
    for command in COMMANDS:
        assert f".Ss {command}\n" in manual or command in ("snapshots", "verify"), command


def schemas_by_command():
    """Command -> name of its schema, as the table of names has it; a second word alone is of the group before it."""
    root = Path(__file__).parents[2]
    table = (root / "meta/NAMES.md").read_text().split("## JSON schemas", 1)[1]
    found = {}
    for schema, cell in re.findall(r"^\| `snapcrypt\.([a-z-]+)/1` \| (.*) \|$", table, re.M):
        words = re.findall(r"`([^`]+)`", cell)
        for word in words:
            for command in (word, f"{words[0].split()[0]} {word}") if words else ():
                if command in COMMANDS:
                    found[command] = schema
    return found


def test_every_command_that_prints_data_has_a_schema():
    schemas = schemas_by_command()
    silent = {"mount", "umount", "completion"}
    assert set(COMMANDS) - set(schemas) == silent
    for command, name in schemas.items():
        path = Path(__file__).parents[2] / "packaging/schema" / f"{name}.json"
        schema = json.loads(path.read_text())
        assert schema["$id"] == f"snapcrypt.{name}/1", command
        assert set(schema["required"]) <= set(schema["properties"]), command


@pytest.mark.parametrize("line, hint", [
    ([], "--help"),
    (["nonsense"], "--help"),
    (["snapshot"], "snapshot --help"),
    (["snapshot", "lst"], "did you mean 'snapshot list'"),
    (["seal"], "--help"),
    (["init"], "usage: snapcrypt init"),
    (["status", "a", "b"], "usage: snapcrypt status"),
    (["status", "--bogus"], "status --help"),
    (["status", "--jsom"], "did you mean --json"),
    (["status", "-Z"], "status --help"),
    (["status", "-o", "xml"], "the only format is json"),
    (["mount", "v", "m", "--snapshot"], "needs an argument"),
    (["completion", "csh"], "bash, zsh or fish"),
])
def test_a_mistake_is_exit_2_with_a_hint_on_one_line(sandbox, line, hint):
    done = sandbox.run(*line, code=2)
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert hint in done.stderr


@pytest.mark.parametrize("line", [
    ["--json", "snapshot", "list"], ["snapshot", "--json", "list"], ["snapshot", "list", "--json"],
    ["snapshot", "list", "-o", "json"],
])
def test_options_may_stand_anywhere(sandbox, volume, line):
    for words in (line + [volume.backing], line[:1] + line[1:] + [volume.backing]):
        assert check(json.loads(sandbox.run(*words).stdout))["schema"] == "snapcrypt.snapshot-list/1"
    done = sandbox.run("snapshot", "list", volume.backing, "--json")
    assert check(json.loads(done.stdout))["snapshots"] == []


def test_failures_are_json_for_those_who_ask_for_it(sandbox):
    for line, code in ((["snapshot", "list", "/nowhere"], 10), (["status", "--bogus"], 2), (["bogus"], 2)):
        done = sandbox.run(*line, "--json", code=code)
        assert done.stdout == ""
        error = check(json.loads(done.stderr))
        assert error["exit_code"] == code and error["message"]


def test_a_place_that_is_no_volume_is_exit_10(sandbox):
    plain = sandbox.directory("plain")
    for place in (plain, sandbox.root / "missing", "00000000-0000-4000-8000-000000000000"):
        for command in ("snapshot list", "volume show", "status"):
            assert sandbox.run(*command.split(), place, code=10).stdout == ""


def test_a_volume_is_found_by_path_uuid_and_name(sandbox, volume):
    uuid = volume.json("volume show")["volume"]
    sandbox.configure(f'[volume "nightly"]\nbacking = {volume.backing}\n')
    link = sandbox.root / "link"
    link.symlink_to(volume.backing)
    for name in (volume.backing, link, uuid, "nightly"):
        assert sandbox.json("volume", "show", name)["volume"] == uuid


def test_an_output_that_cannot_be_written_is_a_failure(sandbox, volume):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sandbox.binary, "volume", "show", volume.backing], env=sandbox.environment,
                              stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr


def test_an_unknown_configuration_key_names_file_and_line(sandbox):
    sandbox.configure("[global]\n\nno_such_key = 1\n")
    done = sandbox.run("config", "check", code=2)
    assert f"{sandbox.config}:3" in done.stderr and "no_such_key" in done.stderr


def test_config_show_tells_where_each_value_comes_from(sandbox):
    sandbox.configure("[global]\nkey_poll = 60s\n")
    output = check(json.loads(sandbox.run("config", "show", "--json", "--key-timeout", "3s",
                                          env={"SNAPCRYPT_READ_AHEAD": "2M"}).stdout))
    values = {item["key"]: item for item in output["settings"] if item["section"] == "global"}
    assert (values["key_poll"]["value"], values["key_poll"]["line"]) == ("60s", 2)
    assert values["key_poll"]["source"] == str(sandbox.config)
    assert values["read_ahead"]["source"] == "SNAPCRYPT_READ_AHEAD"
    assert values["key_timeout"]["value"] == "3s"
    text = sandbox.run("config", "show", "--origin").stdout
    assert f"key_poll = 60s   # {sandbox.config}:2" in text


def test_config_check_is_quiet_about_a_good_one(sandbox):
    assert check(sandbox.json("config", "check")) == {"schema": "snapcrypt.config-check/1", "volumes": 0, "keys": 0}


def test_version(sandbox):
    output = check(sandbox.json("version"))
    assert sandbox.run("--version").stdout == f"snapcrypt {output['version']}\n"
    assert "keyring" in output["providers"] and output["format_version"] == 1
    assert {"fuse", "openssl", "json-c"} <= set(output["libraries"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_commands(sandbox, shell):
    script = sandbox.run("completion", shell).stdout
    assert "check-mounted" in script and "set-default" in script and "block-size" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_bash_completes_subcommands(sandbox):
    script = sandbox.run("completion", "bash").stdout
    ask = 'COMP_WORDS=(snapcrypt snapshot sh); COMP_CWORD=2; _snapcrypt; echo "${COMPREPLY[*]}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["show"]


def test_nothing_of_the_run_is_left_in_a_core_dump(sandbox):
    """No core dumps, whatever the limits of the caller are."""
    with subprocess.Popen([sandbox.binary, "keyring", "init", sandbox.state / "k", "--passphrase"],
                          env=sandbox.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True) as process:
        limits = Path(f"/proc/{process.pid}/limits")
        text = ""
        while process.poll() is None and "Max core file size        0" not in text:
            text = limits.read_text() if os.path.exists(limits) else text
        process.communicate(timeout=60)
    assert "Max core file size        0" in text
