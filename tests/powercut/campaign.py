# SPDX-License-Identifier: Apache-2.0
"""Power cuts below the engine or below a mount: record a workload, build states, mount each and judge it.

    python3 tests/powercut/campaign.py --engine build/engine_driver --recorder build/powercut_recorder.so

Prints one line for each workload and a JSON object at the end; exits 1 if a synced byte was lost or a wrong one read.
A failing state is named by workload, seed, cut and number, which build it again (--only).
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import backend  # noqa: E402  (needs the path above)
import oracle  # noqa: E402
import replay  # noqa: E402
import snapcrypt  # noqa: E402
import workloads  # noqa: E402

LOG_SIZE = 1 << 30


def preload(program, recorder):
    """LD_PRELOAD for a program; a sanitizer's library must come first."""
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    sanitizers = re.findall(r"=> (\S*lib[at]san\S*)", libraries)
    return " ".join([*sanitizers, str(recorder)])


class EngineTarget:
    """The file engine alone."""

    def __init__(self, program, recorder, block_size):
        self.program, self.recorder, self.block_size = program, recorder, block_size

    def prepare(self, place):
        engine = backend.Engine(self.program, place, "w", self.block_size)
        for name, data in workloads.PREPARED.items():
            engine.create(name)
            engine.write(name, 0, data)
            engine.sync(name, False)
        engine.sync_names()
        engine.finish()

    def start(self, place, log):
        environment = {"LD_PRELOAD": preload(self.program, self.recorder), "POWERCUT_ROOT": str(place),
                       "POWERCUT_LOG": str(log)}
        return backend.Engine(self.program, place, "w", self.block_size, environment)

    def finish(self, engine):
        engine.finish()

    def close(self):
        return []

    def look(self, place, is_writable):
        engine = backend.Engine(self.program, place, "w" if is_writable else "r", self.block_size)
        try:
            seen = engine.look(self.block_size)
        except Exception:
            engine.kill()
            raise
        reports = engine.finish()
        if "not authentic, not applied" in reports or "cannot be used" in reports:
            raise oracle.Violation(f"reported as tampering: {reports}")
        return seen


class MountTarget:
    """A mounted volume: the recorder is in the daemon, the workload goes through the kernel."""

    SNAPSHOT = "2026-11-24"

    def __init__(self, program, recorder, block_size):
        self.recorder, self.block_size, self.program = recorder, block_size, program
        self.sandbox = snapcrypt.Sandbox(program)

    def prepare(self, place):
        volume = self.sandbox.init("--block-size", str(self.block_size), backing=place)
        with volume.mount() as mount:
            (mount.path / self.SNAPSHOT).mkdir()
            files = backend.Directory(mount.path / self.SNAPSHOT)
            for name, data in workloads.PREPARED.items():
                files.create(name)
                files.write(name, 0, data)
                files.sync(name, False)
            files.sync_names()
            files.finish()

    def start(self, place, log):
        environment = {"LD_PRELOAD": preload(self.program, self.recorder), "POWERCUT_ROOT": str(place),
                       "POWERCUT_LOG": str(log)}
        self.mount = self.sandbox.open(place).mount(env=environment)
        return backend.Directory(self.mount.path / self.SNAPSHOT)

    def finish(self, files):
        files.finish()
        self.mount.umount()

    def look(self, place, is_writable):
        mount = self.sandbox.open(place).mount(*([] if is_writable else ["ro"]))
        try:
            seen = backend.Directory(mount.path / self.SNAPSHOT).look(self.block_size)
        finally:
            mount.umount()
            self.sandbox.mounts.remove(mount)
        if "journal record" in mount.log():
            raise oracle.Violation(f"reported as tampering: {mount.log()}")
        return seen

    def close(self):
        self.sandbox.allow(".*")
        return self.sandbox.close()


@dataclass
class Result:
    workload: str
    seed: int
    events: int = 0
    cuts: int = 0
    states: int = 0
    seconds: float = 0
    problems: list = field(default_factory=list)


class Campaign:
    def __init__(self, target, directory, states, rounds):
        self.target, self.directory, self.states, self.rounds = target, Path(directory), states, rounds

    def record(self, name, seed, place):
        """Run a workload under the recorder; base tree, log and work."""
        below, log = place / "below", place / "log"
        below.mkdir()
        self.target.prepare(below)
        base = replay.Tree.from_directory(below)
        with open(log, "wb") as file:
            file.truncate(LOG_SIZE)
        live = self.target.start(below, log)
        work = oracle.Work(live, self.target.block_size)
        for file_name, data in workloads.PREPARED.items():
            work.adopt(file_name, data)
        workloads.WORKLOADS[name](work, random.Random(f"{name} {seed}"), self.rounds)
        self.target.finish(live)
        recorded = replay.Log(log, base)
        log.unlink()
        return base, recorded, work

    def run(self, name, seed, only=None):
        started = time.monotonic()
        result = Result(name, seed)
        place = Path(tempfile.mkdtemp(prefix="powercut-", dir=self.directory))
        try:
            base, log, work = self.record(name, seed, place)
            result.events = len(log.times)
            machine = replay.Replay(base, log)
            for cut, number in self.plan(log, name, seed, result, only):
                self.judge(machine, log, work, place, (cut, number), result, seed)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        result.seconds = round(time.monotonic() - started, 1)
        return result

    def plan(self, log, name, seed, result, only):
        """Cut and number of every state to be built, in the order of cuts: all cuts once, if there are states enough."""
        if only:
            yield only
            return
        cuts = log.interesting_cuts()
        result.cuts = len(cuts)
        rng = random.Random(f"plan {name} {seed}")
        chosen = [cut for _ in range(self.states // len(cuts)) for cut in cuts]
        chosen += rng.sample(cuts, self.states % len(cuts))
        numbers = {}
        for cut in sorted(chosen):
            numbers[cut] = numbers.get(cut, -1) + 1
            yield cut, numbers[cut]

    def judge(self, machine, log, work, place, which, result, seed):
        cut, number = which
        tree = machine.state(cut, random.Random(f"{seed} {cut} {number}"))
        is_writable = (cut + number) % 3 != 0
        state = place / "state"
        state.mkdir()
        try:
            tree.write(state)
            work.check(log.time_after(cut), self.target.look(state, is_writable))
            if is_writable:     # recovery has changed files: a second mount must see the same
                work.check(log.time_after(cut), self.target.look(state, True))
        except (oracle.Violation, OSError, AssertionError) as problem:
            result.problems.append(f"cut {cut} number {number} {'rw' if is_writable else 'ro'}: {problem}")
        finally:
            shutil.rmtree(state)
            result.states += 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    program = parser.add_mutually_exclusive_group(required=True)
    program.add_argument("--engine", help="engine_driver: the file engine alone")
    program.add_argument("--mount", help="snapcrypt: through a mount")
    parser.add_argument("--recorder", required=True, help="powercut_recorder.so")
    parser.add_argument("--block-size", type=int, action="append", help="may be repeated; default 4096, 16384, 65536")
    parser.add_argument("--workload", action="append", choices=workloads.WORKLOADS)
    parser.add_argument("--states", type=int, default=500, help="for each workload, block size and seed")
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")
    parser.add_argument("--only", metavar="CUT:NUMBER", help="one state of one workload")
    parser.add_argument("--directory", default=os.environ.get("SNAPCRYPT_TEST_DIR", "/tmp"))
    return parser.parse_args()


def main():
    options = arguments()
    only = tuple(map(int, options.only.split(":"))) if options.only else None
    results = []
    for block_size in options.block_size or (4096, 16384, 65536):
        kind = EngineTarget if options.engine else MountTarget
        target = kind(Path(options.engine or options.mount).resolve(), Path(options.recorder).resolve(), block_size)
        campaign = Campaign(target, options.directory, options.states, options.rounds)
        for name in options.workload or workloads.WORKLOADS:
            for seed in range(options.seed, options.seed + options.seeds):
                result = campaign.run(name, seed, only)
                results.append({"block_size": block_size, **asdict(result)})
                print(f"{name} block {block_size} seed {seed}: {result.states} states of {result.cuts} cuts, "
                      f"{len(result.problems)} problems, {result.seconds} s", flush=True)
                for problem in result.problems[:5]:
                    print(f"    {problem[:1000]}", flush=True)
        for problem in target.close():
            print(problem)
    print(json.dumps({"states": sum(r["states"] for r in results),
                      "problems": sum(len(r["problems"]) for r in results), "runs": results}))
    return 1 if any(r["problems"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
