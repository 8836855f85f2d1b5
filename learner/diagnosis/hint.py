"""What `sbx run` says after a failure. Imports nothing heavy."""

import shlex

from learner.limits import TIMED_OUT
from learner.names import to_text
from learner.store import name_for


def hint(name: str | None, level: str | None, settings: str | None, words: tuple[str, ...]) -> str:
    """Three lines with the command that finds the cause. ``name``: the profile's name or file, if there is one."""
    options = [("--level", level), ("--settings", settings)]
    if name is not None and (level or settings or name != name_for(words[0])):
        options.append(("--profile", name))
    given = "".join(f"{option} {shlex.quote(to_text(value))} " for option, value in options if value)
    shown = " ".join(shlex.quote(to_text(word)) for word in words)
    mends = "names the cause (--apply mends it)" if name is not None and not level else "names the cause"
    return (
        "sbx: if it works without a sandbox, something that it needs is not granted:\n"
        f"     sbx diagnose {given}-- {shown}\n"
        f"     {mends}"
    )


def is_failure(status: int, killed_by: int) -> bool:
    """Whether a command ended in a way that a sandbox can be the reason of: nobody ended it on purpose."""
    return status not in (0, TIMED_OUT) and not killed_by and status <= 128
