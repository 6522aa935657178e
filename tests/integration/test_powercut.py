# SPDX-License-Identifier: Apache-2.0
"""Power cuts below the file engine and below a mount; first, that the recorder and the replay find what careless programs
lose, and nothing of what careful ones do.  The campaign does this at length: scripts/campaign powercut.
"""

import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent / "powercut"
sys.path.insert(0, str(HERE))

import backend  # noqa: E402  (needs the path above)
import campaign  # noqa: E402
import oracle  # noqa: E402
import replay  # noqa: E402


@pytest.fixture(scope="session")
def recorder(binary):
    path = Path(os.environ.get("SNAPCRYPT_RECORDER", binary.parent / "powercut_recorder.so"))
    if not path.is_file():
        pytest.fail(f"{path} is not built")
    return path


@pytest.fixture
def place():
    path = Path(tempfile.mkdtemp(prefix="powercut-", dir=os.environ.get("SNAPCRYPT_TEST_DIR", "/tmp")))
    yield path
    shutil.rmtree(path)


def record(place, recorder, program):
    """Run a Python program, with `work` in directory `place`/below, under the recorder."""
    below, log = place / "below", place / "log"
    base = replay.Tree.from_directory(below)
    with open(log, "wb") as file:
        file.truncate(64 << 20)
    code = f"""
import sys, pickle
sys.path.insert(0, {str(HERE)!r})
import backend, oracle
work = oracle.Work(backend.Directory({str(below)!r}), 4096)
for name in ("old",):
    work.adopt(name, open({str(below)!r} + "/" + name, "rb").read())
{program}
work.backend.finish()
pickle.dump(work, open({str(place / "work")!r}, "wb"))
"""
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={**os.environ, "LD_PRELOAD": str(recorder), "POWERCUT_ROOT": str(below), "POWERCUT_LOG": str(log)})
    work = pickle.loads((place / "work").read_bytes())
    return base, replay.Log(log, base), work


def violations(place, base, log, work, states=8):
    found, count = [], 0
    machine = replay.Replay(base, log)
    for cut in log.interesting_cuts():
        for seed in range(states):
            tree = machine.state(cut, random.Random(f"{cut} {seed}"))
            target = place / "state"
            target.mkdir()
            tree.write(target)
            seen = backend.Directory(target).look(4096)
            shutil.rmtree(target)
            count += 1
            try:
                work.check(log.time_after(cut), seen)
            except oracle.Violation as problem:
                found.append(f"{cut}: {problem}")
    assert count >= 40
    return found


CAREFUL = {
    "append": """
for i in range(20):
    work.write("old", 10000 + 100 * i, bytes([i + 1]) * 100)
    work.sync("old")
""",
    "rename": """
for i in range(5):
    work.create("new")
    work.write("new", 0, bytes([i + 1]) * 9000)
    work.sync_names()
    work.sync("new")
    work.rename("new", "old")
    work.sync_names()
""",
    "truncate": """
work.truncate("old", 5000)
work.sync("old")
work.truncate("old", 12000)
work.sync("old")
work.allocate("old", 20000)
work.sync("old", True)
""",
}

CARELESS = {
    # a reader that trusts the whole page loses bytes when one sector of it is torn: here, the sync is missing
    "no sync": CAREFUL["append"].replace('work.sync("old")', 'work._steps("old").append(oracle.Step("sync", 0, (), 0))'),
    "rename before sync": """
work.create("new")
work.write("new", 0, b"n" * 9000)
work.rename("new", "old")
work.sync_names()
work._steps("old").append(oracle.Step("sync", 0, (), 0))
""",
    "names not synced": """
work.create("new")
work.write("new", 0, b"n" * 9000)
work.sync("new")
work.name_syncs.append(oracle.Step("sync", 0, (len(work.names),), 0))
""",
}


@pytest.mark.parametrize("name", CAREFUL)
def test_careful_program_loses_nothing(place, recorder, name):
    (place / "below").mkdir()
    (place / "below" / "old").write_bytes(b"o" * 10000)
    base, log, work = record(place, recorder, CAREFUL[name])
    assert violations(place, base, log, work) == []


@pytest.mark.parametrize("name", CARELESS)
def test_careless_program_is_found(place, recorder, name):
    (place / "below").mkdir()
    (place / "below" / "old").write_bytes(b"o" * 10000)
    base, log, work = record(place, recorder, CARELESS[name])
    assert violations(place, base, log, work)


def test_everything_applied_is_what_is_there(place, recorder):
    below = place / "below"
    (below / "d").mkdir(parents=True)
    (below / "old").write_bytes(b"o" * 10000)
    base, log, _ = record(place, recorder, f"""
import os
os.mkdir({str(below)!r} + "/d/e")
os.symlink("target", {str(below)!r} + "/d/e/link")
os.link({str(below)!r} + "/old", {str(below)!r} + "/d/hard")
os.rename({str(below)!r} + "/d/e", {str(below)!r} + "/f")
with open({str(below)!r} + "/f/file", "wb") as file:
    file.write(b"x" * 70000)
    file.seek(100000)
    file.write(b"y")
with open({str(below)!r} + "/f/gone", "wb") as file:
    file.write(b"x")
os.unlink({str(below)!r} + "/f/gone")
work.truncate("old", 5000)
work.truncate("old", 6000)
""")
    target = place / "state"
    target.mkdir()
    replay.Replay(base, log).state(len(log.times), random.Random(0), "all").write(target)
    subprocess.run(["diff", "-r", "--no-dereference", below, target], check=True)
    assert (target / "d" / "hard").samefile(target / "old")


def run_campaign(target, directory, workload, states):
    result = campaign.Campaign(target, directory, states, rounds=12).run(workload, 1)
    problems = target.close()
    assert result.problems == []
    assert result.states == states
    return problems


@pytest.mark.parametrize("workload", campaign.workloads.WORKLOADS)
def test_power_cut_below_the_engine_loses_nothing(place, binary, recorder, workload):
    target = campaign.EngineTarget(binary.parent / "engine_driver", recorder, 4096)
    run_campaign(target, place, workload, 30)


@pytest.mark.parametrize("workload", ["append", "replace", "mix"])
def test_power_cut_below_a_mount_loses_nothing(place, binary, recorder, workload):
    run_campaign(campaign.MountTarget(binary, recorder, 16384), place, workload, 6)
