"""Verifying a policy, as `sbx learn` and `sbx verify` both do it."""

import click

from learner import canaries, probe, replay
from learner.cli.options import chosen, prepared, show_choice, show_launch
from learner.derivation import Derived
from learner.enforcers.choice import EnforcerName
from learner.enforcers.seatbelt import can_apply
from learner.errors import MachineError
from learner.findings import Verification
from learner.gaps import Gap
from learner.launch import ensure_directories
from learner.minimal import minimal
from learner.session import Live, live
from learner.trace import DARWIN, Trace
from learner.variables import Variables
from tracers.tracer import Command

_ELSEWHERE = "was learned on another system, and only profiles of macOS can be judged here"
_STAND_IN = Gap("probes", "replay and canaries try the same plan, made in place; --mode live runs bubblewrap itself")


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
    by: str = EnforcerName.AUTO,
    require: tuple[str, ...] = (),
) -> Verification:
    """Verify ``found`` in the way that ``mode`` names; canaries always. What could not be done is in ``failure``.

    ``escapes``: try every way out, not the canaries alone. ``minimize``: drop first what nothing needs, and verify
    what is left. ``verbose``: show each confined launch. ``by``: an enforcer's name; ``require``: what it must hold.
    """
    if mode == "off":
        return Verification("off")
    if trace.header.is_foreign:
        if mode == "live":
            where = f"{trace.header.platform}, where it was learned"
            return Verification(
                mode, failure=f"a live verification runs the command, on {where}; --mode replay does not"
            )
        return _judged(mode, trace, found, minimize)
    try:
        choice = chosen(by, require)
        enforcer = choice.enforcer
        lively = None
        if mode == "live":
            if command is None:
                return Verification("live", failure="live verification needs the command to run")
            ensure_directories(found.policy)
            target = command

            def announce(number: int) -> None:
                click.echo(f"sbx: confined run {number}", err=True)
                if verbose:
                    show_launch(target, found.policy, enforcer.name)

            lively = live(command, trace, found, enforcer, variables, allowed, announce)
            found, trace = lively.cover, lively.trace
        if enforcer.name == EnforcerName.SEATBELT and not can_apply():
            return _judged(mode, trace, found, minimize, lively)
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
        confinement = prepared(choice, found.policy, require)
        confinement.close()
        if verbose:
            show_choice(choice, confinement)
    except (MachineError, probe.NoAnswer) as problem:
        remedy = getattr(problem, "remedy", "")
        return Verification(mode, failure=f"{problem}" + (f"; {remedy}" if remedy else ""))
    gaps = (*confinement.gaps, _STAND_IN) if confinement.supervised else confinement.gaps
    why = f" (not layered: {choice.reason})" if choice.reason else ""
    return Verification(
        mode, replayed, lively, released, gaps, minimal=smallest, enforcer=enforcer.name + why, escapes=tried
    )


def _judged(mode: str, trace: Trace, found: Derived, minimize: bool, lively: Live | None = None) -> Verification:
    """What can be verified without the machine that the policy is for, or on one whose kernel cannot be asked."""
    if trace.header.platform != DARWIN:
        return Verification(mode, failure=f"it {_ELSEWHERE}")
    from learner.seatbelt import judged
    from learner.seatbelt.denied import denied_within

    places = trace.header.variables.places
    labelled = [(access, trace.programs[access.program].label) for access in trace.accesses]
    denied = denied_within(found.policy, places.home)
    smallest = judged.minimal(labelled, found.policy, denied) if minimize else None
    policy = smallest.policy if smallest is not None else found.policy
    return Verification(
        mode,
        judged.replay(labelled, policy, denied),
        lively,
        canaries=judged.canaries(policy, places, denied),
        gaps=(judged.GAP,),
        minimal=smallest,
        enforcer=judged.NAME if lively else f"{judged.NAME}: no Mac is here",
    )
