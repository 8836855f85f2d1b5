"""``sbx doctor``: what this machine can trace and enforce."""

import click

from learner.cli.options import emit_json
from learner.machine import State, capabilities


@click.command()
@click.option("--json", "json_file", metavar="FILE|-", help="Write it as JSON here.")
def doctor(json_file: str | None) -> int:
    """Say what this machine can trace and enforce, and what to install or switch on.

    Exit status: 0 if sbx can learn and enforce here, 3 if something that it needs is missing.
    """
    found = capabilities()
    if json_file:
        emit_json(json_file, [c._asdict() for c in found])
    if json_file != "-":
        from reports.machine import show

        show(found)
    return 3 if any(c.needed and c.state is State.NO for c in found) else 0
