# SPDX-License-Identifier: Apache-2.0
"""Run workloads on several filesystems in turn, several rounds; JSON and a Markdown table of medians and ratios."""

import argparse
import contextlib
import json
import mmap
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import systems  # noqa: E402
import workloads  # noqa: E402


TOUCHED = 4 << 30


def touch_memory():
    """Have free memory backed by the host: a virtual machine that gave it back pays ten times for its first use."""
    with open("/proc/meminfo", encoding="ascii") as file:
        free_kib = next(int(line.split()[1]) for line in file if line.startswith("MemFree"))
    size = min(TOUCHED, free_kib * 1024 * 3 // 4)
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


class Clock:
    """Collects seconds (lower is better) and rates (higher is better) of one system in one round."""

    def __init__(self, results, name):
        self.results, self.name = results, name

    @contextlib.contextmanager
    def __call__(self, workload):
        touch_memory()
        begin = time.monotonic()
        yield
        self._add(workload, time.monotonic() - begin, "s")

    def value(self, workload, rate):
        self._add(workload, rate, "/s")

    def _add(self, workload, value, unit):
        entry = self.results.setdefault(workload, {"unit": unit, "systems": {}})
        entry["systems"].setdefault(self.name, []).append(value)
        print(f"  {workload}: {value:.3f} {unit}", file=sys.stderr)


def speed_ratio(entry, name, against):
    """How many times as fast NAME is as AGAINST; None where one did not run."""
    values = [entry["systems"].get(system) for system in (name, against)]
    if not all(values):
        return None
    ours, theirs = (statistics.median(value) for value in values)
    return theirs / ours if entry["unit"] == "s" else ours / theirs


def markdown(results, daemons, names):
    lines = ["| workload | " + " | ".join(names) + " | against gocryptfs | against passthrough_ll | against snapcrypt-off |",
             "|---" * (len(names) + 4) + "|"]
    for workload, entry in results.items():
        cells = []
        for name in names:
            values = entry["systems"].get(name)
            cells.append(f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})" if values else "-")
        ratios = [speed_ratio(entry, "snapcrypt", other) for other in ("gocryptfs", "passthrough_ll", "snapcrypt-off")]
        cells += [f"{ratio:.2f}x" if ratio else "-" for ratio in ratios]
        lines.append(f"| {workload} [{entry['unit']}] | " + " | ".join(cells) + " |")
    for label, key in (("daemon CPU [s]", "cpu_s"), ("daemon peak RSS [MiB]", "peak_mib")):
        for workload, entry in daemons.items():
            cells = [f"{statistics.median(entry[name][key]):.3g}" if name in entry else "-" for name in names]
            lines.append(f"| {workload}: {label} | " + " | ".join(cells) + " | | |")
    return "\n".join(lines) + "\n"


def measure(system, workload, data, results, daemons):
    """One workload on one system, freshly made."""
    if workload in workloads.COMMANDS:
        workloads.WORKLOADS[workload](system, data, Clock(results, system.name))
        return
    system.prepare()
    system.mount()
    accounted = {"cpu": 0.0, "peak": 0}
    end = system.umount

    def umount():
        # A daemon's figures end with it.
        accounted["cpu"] += system.cpu_s()
        accounted["peak"] = max(accounted["peak"], system.peak_kib())
        end()
    system.umount = umount
    try:
        workloads.WORKLOADS[workload](system, data, Clock(results, system.name))
    finally:
        umount()
    entry = daemons.setdefault(workload, {}).setdefault(system.name, {"cpu_s": [], "peak_mib": []})
    entry["cpu_s"].append(accounted["cpu"])
    entry["peak_mib"].append(accounted["peak"] / 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, required=True, help="directory with the snapcrypt program")
    parser.add_argument("--output", type=Path, required=True, help="directory for bench.json and bench.md")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="where to work; tmpfs by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="1: 2 GiB file, 20,000 small files")
    parser.add_argument("--systems", default=",".join(systems.SYSTEMS))
    parser.add_argument("--workloads", default=",".join(workloads.WORKLOADS))
    arguments = parser.parse_args()
    names = arguments.systems.split(",")
    results, daemons, failures = {}, {}, []
    with tempfile.TemporaryDirectory(prefix="bench", dir=arguments.directory) as root:
        tools = Path(root) / "tools"
        tools.mkdir()
        os.symlink(arguments.tools.resolve() / "snapcrypt", tools / "snapcrypt")
        if not systems.build_floor(tools):
            names = [name for name in names if name != "passthrough_ll"]
        (Path(root) / "data").mkdir()
        data = workloads.Data(Path(root) / "data", arguments.scale)
        for number in range(arguments.rounds):
            for workload in arguments.workloads.split(","):
                # Another order every round, so that none always follows the same neighbour.
                for name in names[number % len(names):] + names[:number % len(names)]:
                    if workload in workloads.COMMANDS and name != "snapcrypt":
                        continue
                    print(f"round {number + 1}, {workload}, {name}", file=sys.stderr)
                    with tempfile.TemporaryDirectory(prefix="r", dir=root) as place:
                        system = systems.SYSTEMS[name](Path(place), tools)
                        try:
                            measure(system, workload, data, results, daemons)
                        except (RuntimeError, OSError, StopIteration) as problem:
                            failures.append(f"{name}, {workload}: {problem}")
                            print(f"  failed: {problem}", file=sys.stderr)
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = {"schema": "snapcrypt.bench/1", "kernel": os.uname().release, "cpus": os.cpu_count(),
              "rounds": arguments.rounds, "scale": arguments.scale, "results": results, "daemons": daemons,
              "failures": failures}
    (arguments.output / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    table = markdown(results, daemons, names)
    (arguments.output / "bench.md").write_text(table)
    print(table)
    return 1 if any(failure.startswith("snapcrypt") for failure in failures) else 0


if __name__ == "__main__":
    sys.exit(main())
