"""Verifying a policy, as `sbx learn` and `sbx verify` both do it."""

import click

from learner import canaries, probe, replay
from learner.cli.options import show_launch
from learner.derivation import Derived
from learner.enforcers.landlock import LandlockEnforcer
from learner.errors import MachineError
from learner.findings import Verification
from learner.launch import ensure_directories
from learner.minimal import minimal
from learner.session import live
from learner.trace import Trace
from learner.variables import Variables
from tracers.tracer import Command


def check(
    mode: str,
    trace: Trace,
    found: Derived,
    variables: Variables,
    command: Command | None,
    allowed: frozenset[str],
    *,
    minimize: bool = False,
    escapes: bool = False,
    verbose: bool = False,
) -> Verification:
    """Verify ``found`` in the way that ``mode`` names; canaries always. What could not be done is in ``failure``.

    ``escapes``: try every way out, not the canaries alone. ``minimize``: drop first what nothing needs, and verify
    what is left. ``verbose``: show each confined launch.
    """
    if mode == "off":
        return Verification("off")
    enforcer = LandlockEnforcer()
    try:
        lively = None
        if mode == "live":
            if command is None:
                return Verification("live", failure="live verification needs the command to run")
            ensure_directories(found.policy)
            target = command

            def announce(number: int) -> None:
                click.echo(f"sbx: confined run {number}", err=True)
                if verbose:
                    show_launch(target, found.policy)

            lively = live(command, trace, found, enforcer, variables, allowed, announce)
            found, trace = lively.cover, lively.trace
        labelled = [(a, trace.programs[a.program].label) for a in trace.accesses]
        smallest = minimal(labelled, found.policy, enforcer) if minimize else None
        if smallest is not None:
            found = found._replace(policy=smallest.policy)
        replayed = replay.replay(labelled, found.policy, enforcer)
        released = canaries.check(found.policy, variables.places, enforcer)
        tried = None
        if escapes:
            from learner.escapes.release import release

            tried = release(found.policy, variables.places, enforcer)
        confinement = enforcer.prepare(found.policy)
        confinement.close()
    except (MachineError, probe.NoAnswer) as problem:
        remedy = getattr(problem, "remedy", "")
        return Verification(mode, failure=f"{problem}" + (f"; {remedy}" if remedy else ""))
    return Verification(mode, replayed, lively, released, confinement.gaps, minimal=smallest, escapes=tried)
