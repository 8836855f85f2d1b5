"""What ``sbx doctor`` prints."""

from rich.console import Console
from rich.text import Text

from learner.machine import Capability, State

_MARKS = {State.YES: ("yes    ", "green"), State.LIMITED: ("limited", "yellow"), State.NO: ("no     ", "red")}


def show(found: list[Capability], console: Console | None = None) -> None:
    """Print capabilities, one line each, and a second one where there is something to do."""
    out = console or Console(highlight=False, soft_wrap=True)
    for capability in found:
        mark, style = _MARKS[capability.state]
        out.print(Text.assemble((f"{mark}  ", style), (f"{capability.name:<16}", "bold"), capability.detail))
        if capability.remedy:
            out.print(Text(f"{'':<25}→ {capability.remedy}", "dim"))
