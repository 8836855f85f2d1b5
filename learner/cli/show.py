"""``sbx show``: what a profile grants, and why; the versions of it that were kept."""

import json
import os
import time

import click

from learner.audit.brokers import Reach, brokers
from learner.cli.profiles import PROFILE, kept_trace, open_profile
from learner.errors import InputFileError
from learner.history import kept
from learner.names import to_text
from learner.profile import load
from learner.variables import Variables
from reports.audit import broker_record, broker_text


@click.command()
@click.argument("profile", type=PROFILE, metavar="NAME|FILE|NAME@VERSION")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@click.option("--history", is_flag=True, help="List the versions of NAME that `sbx learn` kept.")
def show(profile: str, as_json: bool, history: bool) -> None:
    """Show what a profile grants, by directory, with the programs that need each grant, and brokers.

    NAME is one that `sbx list` shows; a FILE has a / in it or ends in .toml. `dir/**` is a grant on
    everything in dir. NAME@VERSION is an earlier one; the beginning of a version suffices. A broker is a helper that
    was there before and acts with its own rights for whoever reaches it: no policy of the program's holds that.
    """
    variables = Variables.here()
    if history:
        _history(profile, variables, as_json=as_json)
        return
    opened = open_profile(profile, variables)
    trace = kept_trace(opened.name)
    found = brokers(opened.policy, trace.accesses if trace else (), os.environ)
    helpers = [broker for broker in found if broker.reach is not Reach.THERE]
    if as_json:
        from reports.profile_json import profile_record

        record = profile_record(opened, variables) | {"brokers": [broker_record(each, variables) for each in helpers]}
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    from reports.console import grants_tree, make_console

    out = make_console()
    out.print(grants_tree(opened, variables))
    for broker in helpers:
        out.print(f"broker  {broker_text(broker, variables)}", soft_wrap=True)


def _history(name: str, variables: Variables, *, as_json: bool) -> None:
    rows = []
    for version, path in kept(name):
        row: dict[str, str | int] = {"version": version, "learned": _day(path), "file": to_text(path)}
        try:
            found = load(path, variables)
        except InputFileError as problem:
            row["problem"] = str(problem)
        else:
            agent = found.agent
            row |= {"grants": len(found.policy.grants), "programs": len(agent.ran) if agent else 0}
            row |= {"services": len(found.policy.services)} if found.platform == "darwin" else {}
            if agent is not None:
                row |= {"executable": to_text(agent.path), "sha256": to_text(agent.sha256)}
                row |= (
                    {"source": agent.known.source.value, "package": to_text(agent.known.package)} if agent.known else {}
                )
        rows.append(row)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        click.echo(f"sbx: no versions of {to_text(name)} are kept; `sbx learn` keeps each that it learns", err=True)
    width = max((len(str(row["version"])) for row in rows), default=0)
    for row in rows:
        services = f", {row['services']} services of macOS" if "services" in row else ""
        what = row.get("problem") or f"{row['grants']} grants, {row['programs']} programs{services}"
        click.echo(f"{row['version']:{width}}  {row['learned']}  {what}")


def _day(path: str) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(path).st_mtime))
    except OSError:
        return "?"
