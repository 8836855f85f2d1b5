"""What `sbx run` says after a failure. Imports nothing heavy."""

import shlex

from learner.names import to_text
from learner.store import name_for


def hint(name: str, words: tuple[str, ...]) -> str:
    """Three lines with the command that finds the cause; ``name``: the profile's name or file."""
    shown = " ".join(shlex.quote(to_text(word)) for word in words)
    option = "" if name == name_for(words[0]) else f"--profile {shlex.quote(to_text(name))} "
    return (
        "sbx: if it works without a sandbox, something that it needs is not granted:\n"
        f"     sbx diagnose {option}-- {shown}\n"
        "     names the cause (--apply mends it)"
    )
