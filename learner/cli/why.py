"""``sbx why``: which grant admits a path or an endpoint, and who needed it; or which grant would."""

import os
import re
from pathlib import Path

import click

from learner import words
from learner.access import Kind
from learner.cli.profiles import PROFILE, only_profile, open_profile
from learner.errors import InputFileError
from learner.explain import OPERATIONS, explain
from learner.names import to_text
from learner.policy import NetworkAction, NetworkGrant, right_names
from learner.profile import Profile, grant_toml, network_toml
from learner.resolver import Resolution, Resolver
from learner.store import name_for, trace_path
from learner.variables import Variables
from tracers.events import Operation, Transport

_ENDPOINT = re.compile(r"\[?(?P<host>[^/\[\]]+?)\]?:(?P<port>\d{1,5})")
_DEFAULTS = {Kind.DIRECTORY: Operation.LIST, Kind.SOCKET: Operation.CONNECT}
_ADMITTED, _NOT_ADMITTED = 0, 1
_SHOWN_USES = 8


@click.command()
@click.argument("path", type=click.Path())
@click.option("--profile", type=PROFILE, help="The profile to ask (default: the only one there is).")
@click.option(
    "--op",
    "operation",
    type=click.Choice([operation.value for operation in OPERATIONS]),
    metavar="OPERATION",
    help="What is to be done: "
    + ", ".join(operation.value for operation in OPERATIONS)
    + " (default: read; list for a directory, connect for a socket).",
)
def why(path: str, profile: str | None, operation: str | None) -> int:
    """Say which grant admits PATH and which programs needed it, or which grant would admit it.

    PATH may also be an endpoint, HOST:PORT, to connect to (or to bind, with --op bind). Links are followed,
    and shown. The exit status is 0 if it is admitted, 1 if it is not.
    """
    variables = Variables.here()
    known = open_profile(profile or only_profile(), variables)
    wanted = Operation(operation) if operation else None
    endpoint = _ENDPOINT.fullmatch(path)
    if endpoint and wanted in (None, Operation.CONNECT, Operation.BIND) and not os.path.lexists(path):
        action = NetworkAction.BIND if wanted is Operation.BIND else NetworkAction.CONNECT
        return _why_endpoint(known, action, endpoint["host"], int(endpoint["port"]), variables)
    return _why_path(known, path, wanted, variables)


def _why_path(known: Profile, path: str, wanted: Operation | None, variables: Variables) -> int:
    policy = known.policy
    resolver = Resolver()
    follow = wanted not in (Operation.REMOVE, Operation.SYMLINK)  # these act on a link itself
    found = resolver.resolve(os.path.join(os.getcwd(), path), follow=follow, pid=os.getpid())
    operation = wanted or _DEFAULTS.get(found.kind, Operation.READ)
    _show_links(resolver, found, variables)
    if found.kind is Kind.OPAQUE:
        click.echo(f"admitted: {to_text(path)} is {to_text(found.path)}, no file: it takes no grant")
        return _ADMITTED
    if found.kind is Kind.ABSENT:
        click.echo(f"nothing is there now: {variables.contract(found.path)}")
    answer = explain(policy, operation, found.path, found.kind)
    what = f"{words.verb(operation)} {variables.contract(found.path)}"
    if answer.missing is None:
        click.echo(f"admitted: {what}")
        for grant in answer.admitting:
            click.echo(f"  by {words.reach(grant, variables)}  {words.rights_phrase(grant.rights)}")
            _show_reasons(words.reasons(grant.witnesses, variables, grant.path))
        _show_evidence(known, ("path", found.path), variables)
        return _ADMITTED
    click.echo(f"not admitted: {what}")
    _show_evidence(known, ("path", found.path), variables)
    needed = " ".join(right_names(answer.needed))
    for grant in answer.nearby:
        given = words.rights_phrase(grant.rights)
        click.echo(f"  {words.reach(grant, variables)} gives {given}, but not {needed}")
    click.echo(f"This grant would admit it:\n\n{grant_toml(answer.missing, variables)}", nl=False)
    return _NOT_ADMITTED


def _why_endpoint(known: Profile, action: NetworkAction, host: str, port: int, variables: Variables) -> int:
    granted = [g for g in known.policy.network if (g.action, g.host, g.port, g.abstract) == (action, host, port, False)]
    missing = NetworkGrant(action, host, port, Transport.TCP, ())
    if granted:
        click.echo(f"admitted: {action} {words.endpoint(missing)}")
        for grant in granted:
            about = words.endpoint(grant)
            click.echo(f"  by {grant.action} {about}")
            _show_reasons(words.reasons(grant.witnesses, variables, about))
        _show_evidence(known, ("endpoint", words.endpoint(missing)), variables)
        return _ADMITTED
    click.echo(f"not admitted: {action} {words.endpoint(missing)}")
    _show_evidence(known, ("endpoint", words.endpoint(missing)), variables)
    click.echo(f"This grant would admit it:\n\n{network_toml(missing, variables)}", nl=False)
    return _NOT_ADMITTED


def _show_links(resolver: Resolver, found: Resolution, variables: Variables) -> None:
    for link in found.links:
        click.echo(f"link: {variables.contract(link)} -> {to_text(resolver.targets[link])}")


def _show_evidence(known: Profile, about: tuple[str, str], variables: Variables) -> None:
    """What the trace that the profile was learned from, where it is kept, tells of this very object."""
    kept = Path(trace_path(name_for(known.name)))
    if not kept.exists():
        return
    # Imported here: the graph library takes longer to load than all else that `why` does.
    from learner import graph
    from learner.evidence import pointing_at, uses
    from learner.trace import read_trace

    try:
        evidence = graph.build(read_trace(kept))
    except InputFileError as problem:
        click.echo(f"  (what was seen cannot be told: {problem})")
        return
    node = (graph.NodeKind(about[0]), about[1])
    for name in pointing_at(evidence, node):
        stands = "is a link to it" if name.startswith("/") else "was asked for by that name"
        click.echo(f"  seen: {variables.contract(name)} {stands}")
    found = uses(evidence, node)
    for use in found[:_SHOWN_USES]:
        result = os.strerror(use.outcome) if use.outcome else "done"
        why = f" to run {use.running}" if use.running else ""
        click.echo(f"  seen: {' → '.join(map(to_text, use.chain))}: {use.operation}{why}: {result}")
    if len(found) > _SHOWN_USES:
        click.echo(f"  seen: and {len(found) - _SHOWN_USES} uses more")


def _show_reasons(reasons: list[str]) -> None:
    for reason in reasons or [words.BY_HAND]:
        click.echo(f"     {reason}")
