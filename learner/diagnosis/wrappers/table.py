"""The sandboxes that are understood. A new one is a module and a line here."""

import importlib
import os
import shlex
from collections.abc import Callable
from typing import cast

from learner.diagnosis.wrappers.wrapper import Wrapper
from learner.errors import UsageError
from learner.variables import Variables

_Parse = Callable[[tuple[str, ...], Variables], Wrapper]

WRAPPERS = {
    "bwrap": "learner.diagnosis.wrappers.bwrap",
    "nono": "learner.diagnosis.wrappers.nono",
    "srt": "learner.diagnosis.wrappers.srt",
}
"""The name of each sandbox's program, and the module whose ``parse`` reads its command line."""


def parse(text: str, variables: Variables) -> Wrapper:
    """The sandbox that a command line begins. Raises UsageError for one that is not understood, InputFileError."""
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise UsageError(f"--sandbox: {problem}", "quote it as for a shell: --sandbox 'bwrap … --'") from None
    if words and words[-1] == "--":
        words.pop()
    name = os.path.basename(words[0]) if words else ""
    if name not in WRAPPERS:
        known = ", ".join(sorted(WRAPPERS))
        raise UsageError(f"--sandbox: only {known} are understood", "give 'bwrap … --', or use --profile")
    module = importlib.import_module(WRAPPERS[name])
    return cast(_Parse, module.parse)(tuple(words), variables)
