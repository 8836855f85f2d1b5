"""``sbx diagnose``: why a command fails under its profile, and the grant that mends it."""

import shlex
from typing import Any

import click

from learner import temporary
from learner.cli.ground import ground_options
from learner.cli.options import allowed_paths, chosen, emit_json, enforcer_options, words_after_dashes
from learner.cli.profiles import PROFILE
from learner.command import find
from learner.diagnosis.case import Diagnosis
from learner.errors import NotExecutable, NotFound, UsageError
from learner.names import to_text
from learner.places import is_within
from learner.profile import Profile, dumps, load
from learner.store import name_for, profile_path, write_atomically
from learner.variables import Variables

MAX_ROUNDS = 6
"""How often --apply mends and runs again: each round may bring to light what the one before hid."""
WORKS, FAILS, UNKNOWN = 0, 1, 5


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--profile", type=PROFILE, help="The profile to run it under (default: the one of the command's name).")
@ground_options
@click.option(
    "--apply", "apply_fix", is_flag=True, help="Write the fix into the profile, and run again to see whether it works."
)
@click.option(
    "--sandbox",
    metavar="'nono run … --'",
    help="Run it in this sandbox of your own (bwrap, nono, srt) instead; the fix is in its words.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="End a run that takes longer, and say what it waited for.",
)
@click.option("--allow-sensitive", "allow", metavar="PATH", multiple=True, help="This sensitive object may be granted.")
@click.option(
    "--log",
    "log_file",
    metavar="FILE|-",
    help="Run nothing: find the causes in this log (strace, a traceback, a sandbox's messages).",
)
@click.option("--list", "list_rules", is_flag=True, help="List the causes that can be told apart.")
@enforcer_options
@click.option("--json", "json_file", metavar="FILE|-", help="Write the diagnosis with stable keys here.")
@click.option("--sarif", "sarif_file", metavar="FILE|-", help="Write it in SARIF 2.1.0, for code scanning, here.")
@click.option("-v", "--verbose", is_flag=True, help="Name harmless denials, too.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG]...]")
def diagnose(
    profile: str | None,
    level: str | None,
    settings: str | None,
    apply_fix: bool,
    sandbox: str | None,
    timeout: float | None,
    allow: tuple[str, ...],
    log_file: str | None,
    list_rules: bool,
    enforcer: str,
    require: tuple[str, ...],
    json_file: str | None,
    sarif_file: str | None,
    verbose: bool,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND confined and traced, and say why it fails: cause, evidence, and the smallest grant that mends it.

    \b
      sbx diagnose -- vibe -p "…"             under the profile vibe
      sbx diagnose --profile p.toml -- vibe   under another
      sbx diagnose --apply -- vibe            mend the profile, and see whether it works
      sbx diagnose --sandbox 'nono run --profile vibe --allow-cwd --' -- vibe
      sbx diagnose --log ci.log               from what a log says, without running anything

    What the recorded run (kept by `sbx learn`) was allowed and this one is not is a cause; other denials are counted
    as harmless.

    Exit status: 0 it works (with --apply: it works now; with --log: a cause was found), 1 it fails and the cause is
    named (with --log: nothing was found in it), 2 usage, 3 this machine cannot, 4 a bad profile, 5 it fails and no
    cause was found, 126 or 127 the command could not be run at all.
    """
    if list_rules:
        return _list()
    if log_file is not None:
        if command or profile or apply_fix:
            raise UsageError("--log runs nothing", "leave out the command, --profile and --apply")
        from learner.cli.diagnose_log import show_log

        return show_log(log_file, json_file, sarif_file)
    words = words_after_dashes(command)
    if not words and profile is None:
        raise UsageError("no command was given", "put it after --, as in: sbx diagnose -- vibe")
    variables = Variables.here()
    if sandbox is not None:
        if apply_fix or not words:
            raise UsageError("--sandbox takes a command, and its fix is for you to add", "leave out --apply")
        return _in_sandbox(words, sandbox, profile, variables, allow, timeout, json_file, sarif_file, verbose)
    if level is not None or settings is not None:
        if apply_fix:
            raise UsageError("--apply writes into a profile, and a level is none", "learn one: sbx learn -- COMMAND")
        words, known = _at_level(words, profile, level, settings, variables)
        file = ""
    else:
        file = profile_path(profile or name_for(words[0]))
        known = load(file, variables)
        words = words or (known.command,)
    return _run(
        words, known, file, variables, enforcer, require, allow, timeout, apply_fix, json_file, sarif_file, verbose
    )


def _at_level(
    words: tuple[str, ...], name: str | None, level: str | None, settings: str | None, variables: Variables
) -> tuple[tuple[str, ...], Profile]:
    """The words and the profile of a run at a level, as `sbx run` would confine it."""
    from learner.cli import ground as grounds

    ground = grounds.find_ground(name, level, settings, words, variables)
    if not ground.confined:
        raise UsageError("level none confines nothing, so there is nothing to diagnose", "run it by itself")
    ground = grounds.admitting(ground, find(ground.words))
    grounds.enter(ground)
    return ground.words, ground.profile


def _run(
    words: tuple[str, ...],
    known: Profile,
    file: str,
    variables: Variables,
    enforcer: str,
    require: tuple[str, ...],
    allow: tuple[str, ...],
    timeout: float | None,
    apply_fix: bool,
    json_file: str | None,
    sarif_file: str | None,
    verbose: bool,
) -> int:
    # Imported here: --list and --log need neither tracer nor graph.
    from learner.diagnosis.session import Subject, examine, mended, recorded

    try:
        target = find(words)
    except (NotFound, NotExecutable) as problem:
        click.echo(f"cause: {problem}: outside of the sandbox, too\nfix: {problem.remedy}", err=True)
        return problem.status
    choice = chosen(enforcer, require)
    if any(is_within(grant.path, variables.temporary) for grant in known.policy.grants):
        temporary.use(variables.temporary)
    before = recorded(known, variables)
    if before.problem:
        click.echo(f"sbx: {before.problem}", err=True)
    subject = Subject(target, known, choice.enforcer, variables, before.trace, allowed_paths(allow), timeout)
    rounds: list[Diagnosis] = []
    shown = variables._replace(prefix=known.prefix)
    applied = 0
    while True:
        found = examine(subject)
        rounds.append(found)
        _show(found, shown, verbose)
        if not apply_fix or found.works or not found.fix.grants_something or len(rounds) > MAX_ROUNDS:
            break
        better = mended(subject, found)
        if better.profile.policy == subject.profile.policy:
            break
        subject = better
        write_atomically(file, dumps(subject.profile, variables).encode())
        applied += len(found.fix.grants) + len(found.fix.network)
        click.echo(f"sbx: applied to {to_text(file)}; running it again", err=True)
    last = rounds[-1]
    if applied:
        outcome = "it works now" if last.works else "it still fails"
        click.echo(f"sbx: {applied} grants added in {len(rounds) - 1} round(s): {outcome}", err=True)
    if json_file:
        emit_json(json_file, _document(rounds, shown, applied))
    if sarif_file:
        _emit_sarif(sarif_file, last, file, shown)
    if last.works:
        return WORKS
    return FAILS if last.cause else UNKNOWN


def _in_sandbox(
    words: tuple[str, ...],
    sandbox: str,
    profile: str | None,
    variables: Variables,
    allow: tuple[str, ...],
    timeout: float | None,
    json_file: str | None,
    sarif_file: str | None,
    verbose: bool,
) -> int:
    """Under the user's own wrapper; the recorded run of a profile serves to compare, if there is one."""
    from learner.diagnosis.session import Subject, examine, recorded
    from learner.diagnosis.wrappers.table import parse

    held = parse(sandbox, variables)
    for note in held.notes if verbose else ():
        click.echo(f"sbx: of the sandbox: {note.item}: {note.reason}", err=True)
    typed = Profile(name=profile or name_for(words[0]), command=words[0], policy=held.policy)
    before = recorded(typed, variables)
    if before.problem:
        click.echo(f"sbx: {before.problem}", err=True)
    found = examine(Subject(find(words), typed, held, variables, before.trace, allowed_paths(allow), timeout))
    # Our launch makes a directory for temporary files; another sandbox has its own way.
    fix = held.with_links(found)
    grants = tuple(grant for grant in fix.grants if grant.path != variables.temporary or not grant.ensure)
    found = found._replace(fix=fix._replace(grants=grants))
    remedy = held.remedy(found.fix)
    found = found._replace(fix=found.fix._replace(words=(*found.fix.words, *remedy.words)))
    _show(found, variables, verbose, _lines(remedy.arguments, remedy.settings))
    if json_file:
        added = {"arguments": list(remedy.arguments), "settings": list(remedy.settings)}
        emit_json(json_file, _document([found], variables, 0) | added)
    if sarif_file:
        _emit_sarif(sarif_file, found, "", variables)
    if found.works:
        return WORKS
    return FAILS if found.cause else UNKNOWN


def _lines(arguments: tuple[str, ...], settings: tuple[str, ...]) -> tuple[str, ...]:
    """What to add to a sandbox, one line for each place where it can stand."""
    words = " ".join(shlex.quote(to_text(word)) for word in arguments)
    to_arguments = [f"add to its arguments: {words}"] if words else []
    return (*to_arguments, *(f"add to its settings: {to_text(line)}" for line in settings))


def _show(found: Diagnosis, variables: Variables, verbose: bool, proposed: tuple[str, ...] = ()) -> None:
    from reports.diagnosis import lines

    for line in lines(found, variables, verbose=verbose, proposed=proposed):
        click.echo(line, err=True)


def _document(rounds: list[Diagnosis], variables: Variables, applied: int) -> dict[str, Any]:
    from reports.diagnosis import document

    last = rounds[-1]
    return {
        "works": last.works,
        "applied": applied,
        "rounds": [document(each, variables) for each in rounds],
    }


def _emit_sarif(where: str, found: Diagnosis, file: str, variables: Variables) -> None:
    from reports.diagnosis_sarif import of_diagnosis

    emit_json(where, of_diagnosis(found, file, variables))


def _list() -> int:
    from learner.diagnosis.rules import RULES

    width = max(len(rule.name) for rule in RULES)
    for rule in RULES:
        click.echo(f"{rule.name:<{width}}  {rule.title}")
    return 0
