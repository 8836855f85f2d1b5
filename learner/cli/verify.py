"""``sbx verify``: prove a stored profile again."""

import os
import time
from pathlib import Path

import click
import msgspec

from learner import temporary
from learner.audit.brokers import brokers
from learner.cli.options import emit_json, enforcer_options, words_after_dashes
from learner.cli.profiles import PROFILE
from learner.cli.verification import check
from learner.command import find
from learner.derivation import Derived
from learner.errors import InputFileError
from learner.exposure import with_exposure
from learner.findings import Result, findings
from learner.profile import Profile, dumps, load
from learner.store import profile_path, trace_path, write_atomically
from learner.surface import UNKNOWN, surface
from learner.trace import Trace, read_trace
from learner.variables import Variables


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--mode",
    type=click.Choice(["replay", "live"]),
    default="replay",
    show_default=True,
    help="replay: try each learned access. live: run the command again, confined, and repair what is denied.",
)
@click.option(
    "--trace",
    "trace_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The trace it was learned from.",
)
@click.option(
    "--minimal",
    is_flag=True,
    help="Leave each grant out in turn: something recorded must be refused. Drop the grants that nothing needs.",
)
@enforcer_options
@click.option("--all", "everything", is_flag=True, help="Try every way out of the confinement: see docs/canaries.md.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write a summary with stable keys here.")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.argument("profile", type=PROFILE, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG]...]")
def verify(
    mode: str,
    trace_file: Path | None,
    minimal: bool,
    enforcer: str,
    require: tuple[str, ...],
    everything: bool,
    json_file: str | None,
    verbose: bool,
    profile: str,
    command: tuple[str, ...],
) -> int:
    """Prove that a profile admits what it was learned for, and that canaries are refused.

    The accesses come from the trace that `sbx learn` kept. A live verification that had to repair the profile
    writes it back, and so does --minimal if it dropped grants. With --all an escape that gets through is a finding,
    unless the enforcer says that it cannot hold it.

    Exit status: 0 verified, 1 there are findings to read, 4 the profile or its trace cannot be used.
    """
    words = words_after_dashes(command)
    variables = Variables.here()
    path = profile_path(profile)
    found = load(path, variables)
    trace = _trace(found, trace_file)
    if trace.header.is_foreign:
        variables = trace.header.variables
        found = load(path, variables)  # its $HOME is not this machine's
    here = mode == "live" and not trace.header.is_foreign
    target = find(words or (found.command,)) if here else None
    if target is not None:
        temporary.use(variables.temporary)
    started = time.monotonic()
    cover = Derived(found.policy, (), ())
    checked = check(
        mode,
        trace,
        cover,
        variables,
        target,
        frozenset(),
        minimize=minimal,
        escapes=everything,
        verbose=verbose,
        by=enforcer,
        require=require,
    )
    changed = False
    if checked.live is not None and checked.live.repaired:
        cover, changed = checked.live.cover, True
    if checked.minimal is not None and checked.minimal.dropped:
        cover, changed = cover._replace(policy=checked.minimal.policy), True
    if changed:
        written = msgspec.structs.replace(found, policy=cover.policy)
        write_atomically(path, dumps(written, variables).encode())
    foreign = trace.header.is_foreign
    cover = cover if foreign else with_exposure(cover, variables.places)
    result = Result(
        profile=path,
        trace=trace,
        cover=cover,
        verification=checked,
        surface=UNKNOWN if foreign else surface(cover.policy, trace.accesses),
        brokers=() if foreign else brokers(cover.policy, trace.accesses, os.environ),
        seconds={"verify": round(time.monotonic() - started, 3)},
    )
    if json_file:
        from reports.summary import summary

        emit_json(json_file, summary(result))
    from reports.learned import show

    show(result, verbose=verbose)
    return 1 if findings(result) else 0


def _trace(found: Profile, given: Path | None) -> Trace:
    kept = given or Path(trace_path(found.name))
    if given is None and not os.path.exists(kept):
        raise InputFileError(
            f"no trace of {found.name} is kept on this machine",
            "give one with --trace FILE, or learn again with `sbx learn`",
        )
    return read_trace(kept)
