"""Whether every tracer learns the same policy of a real agent.

    python benchmarks/agreement.py --testbed DIRECTORY [--agent NAME]... [--rounds 2] [--keep DIRECTORY]

Each round learns the agent's first task once with each tracer, always from the same fresh home and project. Agents do
not do the same in every run, so a grant counts as different only if all runs under one tracer have it, and none under
another does. What only some runs under one tracer have is told beside it.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import agents

from learner import profile
from learner.policy import Policy, right_names
from learner.variables import Variables
from tracers.choice import candidates

Rules = frozenset[str]
"""Grants as text, one each."""


def rules(policy: Policy) -> Rules:
    """Every grant of a policy, so that it can be compared and shown."""
    paths = (f"{g.path} ({g.scope}): {', '.join(right_names(g.rights))}" for g in policy.grants)
    return frozenset((*paths, *(repr(n) for n in policy.network)))


def learned(who: agents.Subject, tracer: str) -> Rules:
    """What one run gives."""
    agents.learn(who, tracer)
    return rules(profile.load(str(who.kept(who.learn_task) / "profile.toml"), Variables.here()).policy)


def compare(runs: dict[str, list[Rules]]) -> list[str]:
    """Lines that say what the runs under some tracers have and those under others have not."""
    always = {tracer: frozenset.intersection(*found) for tracer, found in runs.items()}
    ever = {tracer: frozenset.union(*found) for tracer, found in runs.items()}
    lines = []
    for one, other in itertools.permutations(runs, 2):
        lines += [f"only {one}, never {other}: {rule}" for rule in sorted(always[one] - ever[other])]
    return lines


def main() -> None:
    """Print the table, and what differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--testbed", type=Path, required=True)
    options.add_argument("--agent", action="append")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--keep", type=Path)
    chosen = options.parse_args()
    tracers = [str(each.name) for each in candidates() if not each.obstacle]
    print("| agent | grants | differ between tracers | between runs of one tracer |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place, agents.in_use(keep := chosen.keep or Path(place)):
        for name in chosen.agent or agents.AGENTS:
            who = agents.subject(name, keep, chosen.testbed)
            runs: dict[str, list[Rules]] = {tracer: [] for tracer in tracers}
            for _, tracer in itertools.product(range(chosen.rounds), tracers):
                runs[tracer].append(learned(who, tracer))
            lines = compare(runs)
            grants = sorted({len(found) for each in runs.values() for found in each})
            unsteady = {
                rule for each in runs.values() for rule in frozenset.union(*each) - frozenset.intersection(*each)
            }
            counted = f"{grants[0]}" if len(grants) == 1 else f"{grants[0]} to {grants[-1]}"
            print(f"| {name} | {counted} | {len(lines)} | {len(unsteady)} |", flush=True)
            for line in (*lines, *(f"not in every run: {rule}" for rule in sorted(unsteady))):
                print(f"    {line}", flush=True)


if __name__ == "__main__":
    main()
