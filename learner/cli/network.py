"""``--network``: how `sbx run` holds host names, and what it says of the network afterwards."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from learner.enforcers.enforcer import Confinement
from learner.errors import LaunchError
from learner.jail.plan import Mode, Networked, plan, settle
from learner.launch import execute
from learner.names import to_text
from learner.policy import Policy
from tracers.tracer import Command, exit_status

SHOWN = 20
"""Refusals that are named; more are counted."""

Prepare = Callable[[Policy, bool], Confinement]
"""(policy, whether TCP ports are to be held) to the confinement of files; says what holds it."""
Describe = Callable[[Confinement], None]
"""Says what a confinement leaves open."""
Advise = Callable[[int, int], None]
"""(status, signal that killed it or 0): says what to do about a failure."""

network_option = click.option(
    "--network",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.AUTO.value,
    show_default=True,
    help="jail: by host name, in a network namespace. proxy: by host name, for programs that use proxies. ports: by "
    "port alone. auto: a jail (or else a proxy) if the profile grants hosts by name, ports if not.",
)


def is_served(policy: Policy, wanted: str) -> bool:
    """Whether ``policy`` takes a process beside the command that serves its network. Raises LaunchError."""
    if sys.platform == "darwin":
        if Mode(wanted) not in (Mode.AUTO, Mode.PORTS):
            raise LaunchError(f"--network {wanted} is made of parts of Linux", "use --network ports: hosts stay open")
        return False
    return settle(policy, Mode(wanted)) is not Mode.PORTS


def serve(
    target: Command,
    policy: Policy,
    wanted: str,
    prepare: Prepare,
    describe: Describe,
    verbose: bool,
    advise: Advise,
) -> NoReturn:
    """Run ``target`` with its network served beside it, name what was refused, and exit with the command's status.

    Raises LaunchError; InputFileError for a grant whose host is none.
    """
    mode = settle(policy, Mode(wanted))
    from learner.jail.permission import NotPermitted

    try:
        _run(target, policy, mode, prepare, describe, verbose, advise)
    except NotPermitted as problem:
        if wanted != Mode.AUTO:
            raise
        click.echo(f"sbx: {problem}: a proxy takes the place of the jail\n     {problem.remedy}", err=True)
    _run(target, policy, Mode.PROXY, prepare, describe, True, advise)


def _run(
    target: Command,
    policy: Policy,
    mode: Mode,
    prepare: Prepare,
    describe: Describe,
    verbose: bool,
    advise: Advise,
) -> NoReturn:
    from learner.jail.supervisor import run

    chosen = plan(policy, mode)
    confinement = Networked(chosen, prepare(chosen.policy, chosen.ports))
    if verbose:
        describe(confinement)
        click.echo(f"sbx: network: {chosen.mode}", err=True)
    ended = run(chosen.network, lambda: execute(target, confinement))
    for attempt in ended.refused[:SHOWN]:
        click.echo(f"sbx: refused: {to_text(str(attempt))}", err=True)
    more = len(ended.refused[SHOWN:]) + ended.more
    if more:
        click.echo(f"sbx: refused: {more} more", err=True)
    status = exit_status(ended.wait_status)
    killed = os.WIFSIGNALED(ended.wait_status)
    if verbose:
        how = f"killed by {signal.Signals(status - 128).name}" if killed else f"exit status {status}"
        click.echo(f"sbx: {how}", err=True)
    advise(status, os.WTERMSIG(ended.wait_status) if killed else 0)
    if killed and not verbose:
        die_of(os.WTERMSIG(ended.wait_status))
    # The interpreter's own way out takes 30 ms (measured), between the command's end and the user's prompt.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def die_of(number: int) -> None:
    """End as the command did, so that a shell sees the same."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
