"""What tracing costs: paired wall-time ratios, never absolute numbers, because machines are noisy.

    python benchmarks/tracing.py [--rounds 9] [--only NAME]... [--pinned] [--testbed DIRECTORY]

Each round runs every back-end once on a workload, one after the other; a ratio is taken within its round, and the
median over the rounds is printed, as a table in Markdown. ``--pinned`` keeps everything on one CPU: those numbers and
the others must not be mixed. Ours is timed from the launch of the command until it and all that it started have ended;
what sbx itself takes before and after is in a table of its own. strace, timed as a whole, writes its text to a file and
resolves nothing. ``vibe3`` needs the testbed (shared/testbed) and its agents.
"""

import argparse
import contextlib
import importlib
import os
import pkgutil
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import agents
import dns.message  # noqa: F401 - imported late by a tracer

import tracers
from learner.command import find
from learner.session import make_tracer, record
from learner.variables import Variables
from tracers.choice import candidates
from tracers.tracer import TracerName

_STORM = """
import os, sys
n, names = int(sys.argv[1]), [f"/etc/absent-{i}" for i in range(1000)]
for i in range(n):
    try: os.close(os.open("/etc/passwd" if i & 1 else names[i % 1000], os.O_RDONLY))
    except OSError: pass
"""
_LOOP = "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"


class Workload(NamedTuple):
    """A command, and where and in which environment it runs; empty for ours."""

    words: tuple[str, ...]
    cwd: str = ""
    env: dict[str, str] | None = None

    def enter(self) -> None:
        """Be there."""
        if self.cwd:
            os.chdir(self.cwd)
        if self.env is not None:
            os.environ.clear()
            os.environ.update(self.env)


def workloads(directory: Path, storm: int) -> dict[str, Workload]:
    """Name to command; those whose program is missing are left out."""
    source = directory / "m.c"
    source.write_text('#include <stdio.h>\n#include <stdlib.h>\nint main(void){puts(getenv("HOME"));return 0;}\n')
    repository = directory / "repository"
    if not repository.exists():
        subprocess.run(["git", "init", "-q", str(repository)], check=True)
        for i in range(300):
            (repository / f"f{i}").write_text(str(i))
    found = {
        "python start": (sys.executable, "-c", "import json, ssl, asyncio"),
        "npm ls": ("npm", "ls", "-g"),
        "pip list": (sys.executable, "-m", "pip", "list", "--disable-pip-version-check"),
        "500 forks": ("sh", "-c", _LOOP),
        "gcc": ("sh", "-c", f"for i in 1 2 3 4 5; do gcc -o {directory}/m {source}; done"),
        "git status": ("git", "-C", str(repository), "status", "--short"),
        f"{storm} opens": (sys.executable, "-c", _STORM, str(storm)),
    }
    return {name: Workload(words) for name, words in found.items() if shutil.which(words[0])}


@contextlib.contextmanager
def vibe(directory: Path, testbed: Path | None) -> Iterator[dict[str, Workload]]:
    """The scripted session of Vibe 3 against a stub model, if the testbed is there."""
    if testbed is None:
        yield {}
        return
    who = agents.subject("vibe3", directory, testbed)
    run = directory / "vibe3"
    run.mkdir()
    with agents.started_agent(who, who.learn_task, run / "home", run) as start:
        yield {"vibe3": Workload(start.argv, str(start.cwd), start.env)}


def in_child(work: Callable[[], float]) -> tuple[float, int]:
    """(the seconds that ``work`` says it took, peak memory in KiB), in a process of its own."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        devnull = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(devnull, fd)
        took = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(write_end, f"{took} {peak}".encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as said:
        seconds, peak = said.read().split()
    os.waitpid(pid, 0)
    return float(seconds), int(peak)


def ours(name: TracerName, load: Workload, directory: Path) -> tuple[float, int]:
    """One run under our tracer."""

    def work() -> float:
        load.enter()
        return record(find(load.words), make_tracer(name), Variables.here(), directory / "trace.jsonl").end.seconds

    return in_child(work)


def outside(prefix: tuple[str, ...], load: Workload) -> tuple[float, int]:
    """One run behind the words of ``prefix``."""

    def work() -> float:
        load.enter()
        started = time.perf_counter()
        subprocess.run([*prefix, *load.words], check=False)
        return time.perf_counter() - started

    return in_child(work)


def backends(directory: Path) -> dict[str, Callable[[Workload], tuple[float, int]]]:
    """Name to how a workload is run under it, the baselines first."""
    log = str(directory / "strace.log")
    found: dict[str, Callable[[Workload], tuple[float, int]]] = {
        "untraced": lambda load: outside((), load),
        "strace": lambda load: outside(("strace", "-f", "--seccomp-bpf", "-o", log), load),
    }
    for each in candidates():
        if each.obstacle or each.name is TracerName.STRACE:
            continue
        found[f"sbx {each.name}"] = lambda load, name=each.name: ours(name, load, directory)  # type: ignore[misc]
    return found


def measure(load: Workload, ways: dict[str, Callable[[Workload], tuple[float, int]]], rounds: int) -> dict[str, float]:
    """Medians of the ratios within each round: ``NAME/untraced``, ``NAME/strace``; and ``NAME MB``, the peak."""
    timed: list[dict[str, float]] = []
    peaks = dict.fromkeys(ways, 0)
    for number in range(rounds):
        order = [*ways] if number % 2 == 0 else [*reversed(ways)]
        taken = {}
        for name in order:
            taken[name], memory = ways[name](load)
            peaks[name] = max(peaks[name], memory)
        timed.append(taken)
    found = {}
    for name in ways:
        for base in ("untraced", "strace"):
            found[f"{name}/{base}"] = statistics.median(r[name] / r[base] for r in timed)
        found[f"{name} MB"] = peaks[name] / 1024
    return found


def around(name: TracerName, directory: Path) -> tuple[float, float]:
    """Milliseconds from the start of ``sbx learn -- date`` until date tells the time, and from then to the end."""
    words = ("--tracer", name, "--verify", "off", "-o", str(directory / "date.toml"), "--", "date", "+%s.%N")
    started = time.time()
    done = subprocess.run([sys.executable, "-m", "learner", "learn", *words], capture_output=True, check=False)
    ended, told = time.time(), float(done.stdout)
    return 1000 * (told - started), 1000 * (ended - told)


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--only", action="append")
    options.add_argument("--storm", type=int, default=50_000)
    options.add_argument("--pinned", action="store_true")
    options.add_argument("--testbed", type=Path)
    chosen = options.parse_args()
    for module in pkgutil.iter_modules(tracers.__path__, "tracers."):
        importlib.import_module(module.name)  # now, and not in the first run
    if chosen.pinned:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place, vibe(Path(place), chosen.testbed) as agent:
        directory = Path(place)
        ways = backends(directory)
        shown = [way for way in ways if way.startswith("sbx")]
        heads = ["strace/untraced", *(f"{way}/{base}" for way in shown for base in ("untraced", "strace"))]
        cpus = "pinned to one CPU" if chosen.pinned else f"{len(os.sched_getaffinity(0))} CPUs"
        print(f"{platform.machine()}, {cpus}, Linux {platform.release()}, Python {platform.python_version()}")
        print(f"`strace -f --seccomp-bpf -o FILE`; medians of {chosen.rounds} rounds\n")
        print("| workload | " + " | ".join(heads) + " | peak MB |\n" + "|---" * (len(heads) + 2) + "|")
        rows = []
        for workload, load in {**workloads(directory, chosen.storm), **agent}.items():
            if chosen.only and workload not in chosen.only:
                continue
            row = measure(load, ways, chosen.rounds)
            rows.append(row)
            memory = max(row[f"{way} MB"] for way in shown)
            print(f"| {workload} | " + " | ".join(f"{row[h]:.2f}" for h in heads) + f" | {memory:.0f} |", flush=True)
        if len(rows) > 1:
            medians = [statistics.median(row[h] for row in rows) for h in heads]
            print("| **median** | " + " | ".join(f"**{value:.2f}**" for value in medians) + " | |")
        print("\n| `sbx learn --verify off -- date` | until date runs, ms | from then on, ms |\n|---|---|---|")
        for name in [TracerName(way.removeprefix("sbx ")) for way in shown]:
            before, after = zip(*(around(name, directory) for _ in range(chosen.rounds)), strict=True)
            print(f"| {name} | {statistics.median(before):.0f} | {statistics.median(after):.0f} |")


if __name__ == "__main__":
    main()
