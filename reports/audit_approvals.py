"""What ``sbx audit --approvals`` suggests, as text to paste and as JSON."""

import json
from typing import Any

from learner.audit.approvals import Approvals
from learner.names import to_text

_LIMIT = (
    "A trace holds programs and the names of their subcommands (`git status`), and no other arguments: they may be "
    "secrets. A shell's builtins are not seen."
)


def text(found: Approvals, *, markdown: bool = False) -> str:
    """Both agents' lists, and what was left out with the reason. ``markdown``: with headings and fences."""
    if not found.allowed and not found.left_out:
        return "no shell ran a command in that trace\n"
    lines = ["# From a trace to approvals", ""] if markdown else []
    lines += [f"{'' if markdown else '# '}{_LIMIT}", ""]
    if found.left_out:
        lines += [f"{'' if markdown else '# '}Left out, to be asked for:"]
        mark = "- " if markdown else "#   "
        lines += [*([""] if markdown else []), *(f"{mark}{to_text(s.name)}: {s.why}" for s in found.left_out), ""]
    table = json.dumps(found.vibecoding(), indent=2, ensure_ascii=False)
    lines += _block(
        "Vibe, ~/.vibe/config.toml (2.26 and later add their own read-only commands to it)",
        found.vibe(),
        "toml",
        markdown,
    )
    lines += _block("VibeCoding, ~/.vibecoding/settings.json", table + "\n", "json", markdown)
    return "\n".join(lines).rstrip("\n") + "\n"


def record(found: Approvals) -> dict[str, Any]:
    """``{shells[], allowed[{name, path}], left_out[{name, path, why}], vibe, vibecoding}``."""
    return {
        "shells": [to_text(shell) for shell in found.shells],
        "allowed": [{"name": to_text(s.name), "path": to_text(s.path)} for s in found.allowed],
        "left_out": [{"name": to_text(s.name), "path": to_text(s.path), "why": s.why} for s in found.left_out],
        "vibe": found.vibe(),
        "vibecoding": found.vibecoding(),
    }


def _block(title: str, body: str, language: str, markdown: bool) -> list[str]:
    if markdown:
        return [f"## {title}", "", f"```{language}", body.rstrip("\n"), "```", ""]
    return [f"# {title}", body]
