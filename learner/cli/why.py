"""``sbx why``: which grant admits a path or an endpoint, and who needed it; or which grant would. And is it so?"""

import os
import re
from typing import NamedTuple

import click

from learner.access import Kind
from learner.cli.options import chosen, emit_json, enforcer_options
from learner.cli.profiles import PROFILE, only_profile, open_profile
from learner.errors import MachineError
from learner.explain import OPERATIONS, explain_endpoint
from learner.policy import NetworkAction, Policy
from learner.profile import Profile
from learner.proof import Claim, Proof, Verdict
from learner.variables import Variables
from tracers.events import Operation, Transport

_ENDPOINT = re.compile(
    r"\[?(?P<host>[^/\[\]]+?)\]?:(?P<port>\d{1,5}|\*)(?:/(?P<transport>tcp|udp))?|@(?P<abstract>[^/]+)"
)
_HOST = re.compile(r"(?=.*\.)[A-Za-z0-9*](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_HTTPS = 443
_ADMITTED, _NOT_ADMITTED, _DISPUTED = 0, 1, 5


class End(NamedTuple):
    """An endpoint as it was asked about: by one of ``transports``."""

    host: str
    port: int
    transports: tuple[Transport, ...] = (Transport.TCP, Transport.UDP)


@click.command()
@click.argument("path", type=click.Path(), metavar="PATH|HOST[:PORT]")
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
@enforcer_options
@click.option("--json", "json_file", metavar="FILE|-", help="Write the answer with stable keys here.")
def why(
    path: str,
    profile: str | None,
    operation: str | None,
    enforcer: str,
    require: tuple[str, ...],
    json_file: str | None,
) -> int:
    """Say which grant admits PATH and which programs needed it, or which grant would; and let the enforcer prove it.

    \b
      sbx why ~/.gitconfig                      read a file (list a directory, connect to a socket)
      sbx why --op write ~/.vibe                make files in a directory
      sbx why --op exec ~/.local/bin/vibe       with its interpreter and loader
      sbx why api.example.org:443               connect (--op bind: listen)

    PATH may also be HOST:PORT, HOST (port 443), HOST:PORT/udp or @NAME, an abstract socket. Links are followed, and
    shown. The same is tried under the enforcer that `sbx run` would take, without leaving anything behind.

    Exit status: 0 it is admitted, 1 it is not, 2 usage, 4 a bad profile, 5 the enforcer does not do what the policy
    says, and nothing explains it: a bug, please report it.
    """
    variables = Variables.here()
    known = open_profile(profile or only_profile(), variables)
    wanted = Operation(operation) if operation else None
    end = _endpoint(path, wanted)
    if end is not None:
        return _why_endpoint(known, wanted, end, variables, enforcer, require, json_file)
    return _why_path(known, path, wanted, variables, enforcer, require, json_file)


def _endpoint(text: str, wanted: Operation | None) -> End | None:
    """The endpoint that ``text`` means, None if it is a path."""
    if wanted not in (None, Operation.CONNECT, Operation.BIND) or os.path.lexists(text):
        return None
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        host = wanted is not None and _HOST.fullmatch(text)
        return End(text, _HTTPS) if host else None
    if found["abstract"]:
        return End(found["abstract"], 0, (Transport.OTHER,))
    port = 0 if found["port"] == "*" else int(found["port"])
    if found["transport"]:
        return End(found["host"], port, (Transport(found["transport"]),))
    return End(found["host"], port)


def _why_path(
    known: Profile,
    name: str,
    wanted: Operation | None,
    variables: Variables,
    enforcer: str,
    require: tuple[str, ...],
    json_file: str | None,
) -> int:
    from learner.asking import ask
    from learner.resolver import Resolver
    from reports.why import path_document, path_lines

    resolver = Resolver()
    asked = ask(known.policy, os.path.join(os.getcwd(), name), wanted, resolver)
    proofs, problem = _proved(asked.claims, known.policy, enforcer, require)
    targets = {link: resolver.targets[link] for link in asked.found.links}
    if json_file != "-":
        for line in path_lines(asked, proofs, problem, targets, known, variables):
            click.echo(line)
    if json_file:
        emit_json(json_file, path_document(asked, proofs, problem, targets, variables))
    by_name = all(proof.enforced is not False for proof in proofs if proof.claim.named)
    return _status(proofs, asked.found.kind is Kind.OPAQUE or (asked.admitted and by_name))


def _why_endpoint(
    known: Profile,
    wanted: Operation | None,
    end: End,
    variables: Variables,
    enforcer: str,
    require: tuple[str, ...],
    json_file: str | None,
) -> int:
    from learner.proof import of_endpoint
    from reports.why import endpoint_document, endpoint_lines

    action = NetworkAction.BIND if wanted is Operation.BIND else NetworkAction.CONNECT
    answers = [explain_endpoint(known.policy, action, end.host, end.port, each) for each in end.transports]
    found = next((answer for answer in answers if answer.missing is None), answers[0])
    proofs, problem = _proved((of_endpoint(found),), known.policy, enforcer, require, network=True)
    if json_file != "-":
        for line in endpoint_lines(found, proofs, problem, known, variables):
            click.echo(line)
    if json_file:
        emit_json(json_file, endpoint_document(found, proofs, problem, variables))
    return _status(proofs, found.missing is None)


def _status(proofs: tuple[Proof, ...], admitted: bool) -> int:
    if any(proof.verdict is Verdict.DISPUTED for proof in proofs):
        return _DISPUTED
    return _ADMITTED if admitted else _NOT_ADMITTED


def _proved(
    claims: tuple[Claim, ...], policy: Policy, enforcer: str, require: tuple[str, ...], *, network: bool = False
) -> tuple[tuple[Proof, ...], str]:
    """The proofs of the claims; or why there are none."""
    # Imported here: what takes no enforcer needs none of it.
    from learner.jail.plan import Mode, settle
    from learner.probe import NoAnswer
    from learner.proof import prove

    if not claims:
        return (), ""
    if network and settle(policy, Mode.AUTO) is not Mode.PORTS:
        return (), "host names are held by a filter beside the command, which only a run starts"
    try:
        return prove(claims, policy, chosen(enforcer, require).enforcer), ""
    except (MachineError, NoAnswer) as problem:
        if enforcer != "auto" or require:
            raise
        return (), str(problem)
