"""Is a policy learned from one run minimal, and does it survive tomorrow?

    python benchmarks/least_privilege.py [--agents pi,vibe3,git] [--runs 10] [--keep DIR] [--relearn] [--no-confined]
                                         [--no-peers] [--testbed DIR] [--markdown] [--json FILE] [--refused FILE]

Each agent (or plain tool) is recorded once, in a home full of decoy secrets. From that one trace sbx derives its
policy, and so do re-implementations of other tools' rules. Then it does ten other things: other tasks, in a warm or a
cold home, in the same or another project. Each is recorded unconfined, which shows everything that it needs and the
policy does not admit, and done again from the same state under `sbx run`, which shows whether it still does its task.

With --keep the recordings are used again, and the policy is derived anew by the code as it is: seconds, not minutes.
Confined runs are done again when the profile has changed (--no-confined leaves them out). What a peer's
policy opens is counted once for each recording, since that takes up to a minute; --no-peers leaves the peers out. Move
nothing in that directory: the recorded paths lead into it.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import agents
import msgspec
from agents import AGENTS, BenchmarkError, Subject
from measure import Opened, Refused, candidates, opened, opened_before, profile_text, refusals, secrets
from scripts import TOOLS, Task

from learner.enforcers.landlock import LandlockEnforcer
from learner.errors import SbxError
from learner.session import derive

_SHOWN = 10
"""Places named in a line; --json has all."""
TESTBED = Path(__file__).resolve().parents[2] / "shared" / "testbed"


class Later(msgspec.Struct, frozen=True):
    """A later run. ``differs``: how the confined run was unlike the unconfined one, None if there was none."""

    name: str
    home: str
    project: str
    refused: tuple[Refused, ...]
    differs: tuple[str, ...] | None


class Scored(msgspec.Struct, frozen=True):
    """One candidate's policy. ``refused``: accesses of all later runs that it does not admit."""

    name: str
    opened: Opened
    refused: int
    runs: int
    """Later runs of which it refuses anything."""


class Result(msgspec.Struct, frozen=True):
    """Everything about one agent or tool. ``scores``: sbx's own first. ``later``: under sbx's policy."""

    name: str
    seconds: float
    secrets: int
    scores: tuple[Scored, ...]
    later: tuple[Later, ...]


# --- recording and evaluating


def record(who: Subject, runs: int, relearn: bool) -> None:
    """Record what is not there yet; the learned run also if ``relearn``."""
    agents.recover(who)
    if relearn or agents.recorded(who, who.learn_task) is None:
        _say(f"{who.name}: learning")
        agents.learn(who)
    for task in who.tasks()[:runs]:
        if agents.recorded(who, task) is None:
            _say(f"{who.name}: {task.name}")
            agents.record(who, task)


def evaluate(who: Subject, runs: int, confined: bool, peers: bool) -> Result:
    """Score every candidate on what was recorded."""
    learned = who.trace(who.learn_task)
    tasks = who.tasks()[:runs]
    traces = [who.trace(task) for task in tasks]
    rivals = tuple(candidates(learned, derive(learned, frozenset()).policy, peers))
    refused = {c.name: [refusals(c, learned.header, t, LandlockEnforcer()) for t in traces] for c in rivals}
    scores = tuple(
        Scored(
            c.name,
            opened(c, learned, who) if c.baseline is None else opened_before(c, learned, who),
            sum(len(each) for each in refused[c.name]),
            sum(1 for each in refused[c.name] if each),
        )
        for c in rivals
    )
    ours = rivals[0]
    profile = profile_text(who.name, ours.confined.policy, learned.header)
    later = tuple(
        Later(task.name, task.home, task.project, each, _differs(who, task, profile, confined))
        for task, each in zip(tasks, refused[ours.name], strict=True)
    )
    return Result(who.name, learned.end.seconds if learned.end else 0.0, len(secrets(who)), scores, later)


def _differs(who: Subject, task: Task, profile: str, confined: bool) -> tuple[str, ...] | None:
    control = agents.recorded(who, task)
    if not confined or control is None:
        return None
    _say(f"{who.name}: {task.name}, confined")
    return control.differs(agents.confined(who, task, profile))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- printing

_HEADS = (
    "policy",
    "grants",
    "open",
    "excess",
    "excess, no packages",
    "secrets read/changed",
    "changeable outside",
    "refused later",
)


def _row(score: Scored, secret: int, runs: int) -> tuple[str, ...]:
    o = score.opened
    exposed = f"{len(o.readable_secrets)}/{len(o.writable_secrets)} of {secret}"
    cells = (o.grants, o.granted, o.excess, o.private, exposed, o.writable, f"{score.refused} in {score.runs}/{runs}")
    return (score.name, *(str(cell) for cell in cells))


def _table(rows: Sequence[Sequence[str]], markdown: bool) -> str:
    """The first row is the heading; numbers stand right."""
    if markdown:
        rule = ["---", *("---:" for _ in rows[0][1:])]
        return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def show(result: Result, markdown: bool) -> None:
    """The table of one agent, what its later runs missed, and how its confined runs went."""
    runs = len(result.later)
    print(f"\n{'### ' if markdown else ''}{result.name}: learned in one run of {result.seconds:.1f} s, {runs} later\n")
    print(_table([_HEADS, *(_row(score, result.secrets, runs) for score in result.scores)], markdown))
    ours = result.scores[0].opened
    more = [f"and {len(ours.writable_at) - _SHOWN} more"] if len(ours.writable_at) > _SHOWN else []
    print(
        "\nsbx lets it change outside of the project: " + ", ".join([*ours.writable_at[:_SHOWN], *more] or ["nothing"])
    )
    for path in (*ours.readable_secrets, *ours.writable_secrets):
        print(f"sbx exposes {path}")
    rows = [("later run", "home", "project", "refused", "confined")]
    for later in result.later:
        how = "not run" if later.differs is None else "as unconfined" if not later.differs else "differs"
        rows.append((later.name, later.home, later.project, str(len(later.refused)), how))
    print("\n" + _table(rows, markdown))
    for later in result.later:
        for difference in later.differs or ():
            print(f"  {later.name}: {difference}")


def refused_lines(result: Result) -> Iterator[str]:
    """What sbx's policy refused, each thing once, with the numbers of the runs that did it."""
    seen: dict[tuple[str, str, tuple[str, ...]], tuple[set[str], list[int]]] = defaultdict(lambda: (set(), []))
    for number, later in enumerate(result.later, 1):
        for each in later.refused:
            programs, runs = seen[each.object, each.operation, each.lacks]
            programs.add(each.program)
            runs += [number] if number not in runs else []
    for (path, operation, lacks), (programs, runs) in sorted(seen.items()):
        wanted = f" lacks {','.join(lacks)}" if lacks else ""
        numbers = ",".join(str(number) for number in runs)
        yield f"{path}  {operation}{wanted}  by {', '.join(sorted(programs))}  in run {numbers}"


def show_summary(results: Sequence[Result], markdown: bool) -> None:
    """All agents together, by candidate."""
    rows = [("policy", "grants (most)", *_HEADS[3:5], "secrets exposed", _HEADS[6], "refused later")]
    for scores in zip(*(result.scores for result in results), strict=True):
        opens = [score.opened for score in scores]
        rows.append(
            (
                scores[0].name,
                f"{sum(o.grants for o in opens)} ({max(o.grants for o in opens)})",
                str(sum(o.excess for o in opens)),
                str(sum(o.private for o in opens)),
                str(sum(o.exposed for o in opens)),
                str(sum(o.writable for o in opens)),
                f"{sum(s.refused for s in scores)} in {sum(s.runs for s in scores)} runs",
            )
        )
    print(f"\n{'### ' if markdown else ''}all {len(results)} together\n")
    print(_table(rows, markdown))
    tried = [later for result in results for later in result.later if later.differs is not None]
    if tried:
        same = sum(1 for later in tried if not later.differs)
        print(f"\nconfined by sbx: {same} of {len(tried)} later runs went as unconfined ones")


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    everything = (*AGENTS, *(tool.name for tool in TOOLS))
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--agents", default=",".join(everything), help=f"of {', '.join(everything)} (default: all)")
    options.add_argument("--runs", type=int, default=10, help="later runs of each (default: 10)")
    options.add_argument("--keep", type=Path, help="directory of recordings, used again if they are there")
    options.add_argument("--relearn", action="store_true", help="record the learned runs anew (traces have changed)")
    options.add_argument("--confined", action=argparse.BooleanOptionalAction, default=True, help="run under sbx too")
    options.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="other tools' rules too")
    options.add_argument("--testbed", type=Path, default=TESTBED, help="with run_agent.sh and stub_server.py")
    options.add_argument("--markdown", action="store_true")
    options.add_argument("--json", type=Path, metavar="FILE", help="write everything here")
    options.add_argument("--refused", type=Path, metavar="FILE", help="write what sbx's policies refused here")
    return options.parse_args(words)


def run(chosen: argparse.Namespace, keep: Path) -> bool:
    """Record, evaluate and print; whether all went well. Raises BenchmarkError where nothing can be done at all."""
    subjects = [agents.subject(name, keep, chosen.testbed) for name in chosen.agents.split(",")]
    if any(who.tool is None for who in subjects) and not (chosen.testbed / "run_agent.sh").is_file():
        raise BenchmarkError(f"{chosen.testbed} has no run_agent.sh: name the testbed's folder with --testbed DIR")
    results = []
    for who in subjects:
        try:
            record(who, chosen.runs, chosen.relearn)
            results.append(evaluate(who, chosen.runs, chosen.confined, chosen.peers))
        except (BenchmarkError, SbxError) as problem:
            _say(f"{who.name}: left out: {problem}")
            continue
        show(results[-1], chosen.markdown)
    if results:
        show_summary(results, chosen.markdown)
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results, order="deterministic"), indent=2))
    if chosen.refused:
        chosen.refused.write_text(
            "".join(f"# {each.name}\n" + "".join(f"{line}\n" for line in refused_lines(each)) for each in results)
        )
    return len(results) == len(subjects)


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 with the reason if something could not be measured."""
    chosen = _parse(words)
    made = None
    if chosen.keep is None:
        base = Path.home() / ".cache" / "sbx-bench"  # not below /tmp: a home or project there would be a special case
        base.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=base))
    try:
        keep = (made or chosen.keep).resolve()
        with agents.in_use(keep):
            return 0 if run(chosen, keep) else 1
    except (BenchmarkError, SbxError) as problem:
        print(f"least_privilege: {problem}", file=sys.stderr)
        return 1
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
