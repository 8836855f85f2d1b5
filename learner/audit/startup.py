"""What shells set as they start, and a project's environment files: settings that no configuration shows."""

import os
import re
from collections.abc import Iterator

from learner.audit.context import Context
from learner.audit.finding import Hit

_FILES = (
    ".bashrc",
    ".bash_profile",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".config/fish/config.fish",
)
_MAX_BYTES = 1 << 20


def hits(context: Context, pattern: "re.Pattern[str]", detail: str) -> Iterator[Hit]:
    """A hit for each line that ``pattern`` finds in a start-up file of the account or project, comments left out."""
    files = [os.path.join(context.home, name) for name in _FILES]
    files += [os.path.join(context.project, name) for name in (".envrc", ".env") if context.project]
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read(_MAX_BYTES)
        except OSError:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if not line.lstrip().startswith("#") and pattern.search(line):
                yield Hit(detail, path=path, line=number)
