"""The table of escapes, and its listing for the documentation."""

from learner.escapes import (
    attributes,
    files,
    ipc,
    kernel,
    namespaces,
    network,
    processes,
    programs,
    sockets,
)
from learner.escapes.escape import Escape, Family, Who

TABLE: tuple[Escape, ...] = (
    *files.ESCAPES,
    *attributes.ESCAPES,
    *processes.ESCAPES,
    *programs.ESCAPES,
    *ipc.ESCAPES,
    *sockets.ESCAPES,
    *network.ESCAPES,
    *namespaces.ESCAPES,
    *kernel.ESCAPES,
)
"""Every escape. The order is that of the report."""


def listing() -> str:
    """The table in Markdown, as ``docs/canaries.md`` has it."""
    lines = []
    for family in Family:
        lines += ["", f"### {family[0].upper()}{family[1:]}", "", "| escape | as | may be open as the gap | twin |"]
        lines.append("|---|---|---|---|")
        for escape in TABLE:
            if escape.family is family:
                who = "" if escape.who is Who.ANYONE else escape.who.value
                where = "in namespaces of the test's own" if escape.nested else ""
                cells = (
                    escape.name,
                    "; ".join(part for part in (who, where) if part),
                    ", ".join(escape.gaps),
                    "yes" if escape.twin else "",
                )
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"
