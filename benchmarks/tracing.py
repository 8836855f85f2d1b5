"""What tracing costs: paired wall-time ratios, never absolute numbers, because machines are noisy.

    python benchmarks/tracing.py [--rounds 9] [--only NAME]... [--storm 100000]

Each round runs every back-end once on a workload, one after the other; a ratio is taken within its round, and the
median over the rounds is printed. Ours is timed from making the tracer to the finished trace, with everything resolved;
strace writes its text to a file and resolves nothing.
"""

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tracers.ptrace
import tracers.strace  # noqa: F401
from learner.command import find
from learner.session import make_tracer, record
from learner.variables import Variables
from tracers.tracer import TracerName

_STORM = """
import os, sys
n, names = int(sys.argv[1]), [f"/etc/absent-{i}" for i in range(1000)]
for i in range(n):
    try: os.close(os.open("/etc/passwd" if i & 1 else names[i % 1000], os.O_RDONLY))
    except OSError: pass
"""
_LOOP = "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"


def workloads(directory: Path, storm: int) -> dict[str, list[str]]:
    """Name to command; those whose program is missing are left out."""
    source = directory / "m.c"
    source.write_text('#include <stdio.h>\n#include <stdlib.h>\nint main(void){puts(getenv("HOME"));return 0;}\n')
    repository = directory / "repository"
    if not repository.exists():
        subprocess.run(["git", "init", "-q", str(repository)], check=True)
        for i in range(300):
            (repository / f"f{i}").write_text(str(i))
    found = {
        "python start": [sys.executable, "-c", "import json, ssl, asyncio"],
        "pip list": [sys.executable, "-m", "pip", "list", "--disable-pip-version-check"],
        "npm ls": ["npm", "ls", "-g"],
        "git status": ["git", "-C", str(repository), "status", "--short"],
        "gcc": ["sh", "-c", f"for i in 1 2 3 4 5; do gcc -o {directory}/m {source}; done"],
        "500 forks": ["sh", "-c", _LOOP],
        f"{storm} opens": [sys.executable, "-c", _STORM, str(storm)],
    }
    return {name: words for name, words in found.items() if shutil.which(words[0])}


def in_child(work: Callable[[], None]) -> tuple[float, int]:
    """(seconds that ``work`` took, peak memory in KiB), in a process of its own."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        devnull = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(devnull, fd)
        started = time.perf_counter()
        work()
        took = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(write_end, f"{took} {peak}".encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as said:
        seconds, peak = said.read().split()
    os.waitpid(pid, 0)
    return float(seconds), int(peak)


def ours(name: TracerName, words: list[str], directory: Path) -> tuple[float, int]:
    """One run under our tracer."""

    def work() -> None:
        record(find(tuple(words)), make_tracer(name), Variables.here(), directory / "trace.jsonl")

    return in_child(work)


def outside(prefix: list[str], words: list[str]) -> tuple[float, int]:
    """One run behind the words of ``prefix``."""

    def work() -> None:
        subprocess.run([*prefix, *words], check=False)

    return in_child(work)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--only", action="append")
    options.add_argument("--storm", type=int, default=100_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log = str(directory / "strace.log")
        backends: dict[str, Callable[[list[str]], tuple[float, int]]] = {
            "untraced": lambda words: outside([], words),
            "strace -f": lambda words: outside(["strace", "-f", "-o", log], words),
            "strace -f --seccomp-bpf": lambda words: outside(
                ["strace", "-f", "--seccomp-bpf", "-e", "trace=%file,%network", "-o", log], words
            ),
            "sbx ptrace": lambda words: ours(TracerName.PTRACE, words, directory),
            "sbx strace": lambda words: ours(TracerName.STRACE, words, directory),
        }
        print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}")
        heads = [
            "ptrace/untraced",
            "ptrace/strace -f",
            "ptrace/strace-bpf",
            "strace-bpf/untraced",
            "sbx strace/strace-bpf",
        ]
        print(f"{'workload':<16}" + "".join(f"{h:>22}" for h in heads) + f"{'peak MB':>9}")
        medians: dict[str, list[float]] = {h: [] for h in heads}
        for workload, words in workloads(directory, chosen.storm).items():
            if chosen.only and workload not in chosen.only:
                continue
            rounds: list[dict[str, float]] = []
            peak = 0
            for _ in range(chosen.rounds):
                timed = {}
                for backend, run in backends.items():
                    timed[backend], memory = run(words)
                    if backend == "sbx ptrace":
                        peak = max(peak, memory)
                rounds.append(timed)
            pairs = [
                ("sbx ptrace", "untraced"),
                ("sbx ptrace", "strace -f"),
                ("sbx ptrace", "strace -f --seccomp-bpf"),
                ("strace -f --seccomp-bpf", "untraced"),
                ("sbx strace", "strace -f --seccomp-bpf"),
            ]
            row = [statistics.median(r[a] / r[b] for r in rounds) for a, b in pairs]
            for head, value in zip(heads, row, strict=True):
                medians[head].append(value)
            print(f"{workload:<16}" + "".join(f"{v:>22.2f}" for v in row) + f"{peak / 1024:>9.0f}", flush=True)
        if len(medians[heads[0]]) > 1:
            print(f"{'median':<16}" + "".join(f"{statistics.median(medians[h]):>22.2f}" for h in heads))


if __name__ == "__main__":
    main()
