"""How commands are given a profile: by name or file, completed by the shell."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from learner.errors import SbxError, UsageError
from learner.history import find_profile
from learner.profile import Profile, load
from learner.store import profile_files, trace_path
from learner.variables import Variables

if TYPE_CHECKING:
    from learner.trace import Trace


class ProfileType(click.types.StringParamType):
    """A profile's name or file, left as it is."""

    name = "NAME|FILE"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the stored profiles, and files."""
        try:
            names = [name for name, _ in profile_files() if name.startswith(incomplete)]
        except SbxError:
            names = []
        return [CompletionItem(name) for name in names] + [CompletionItem(incomplete, type="file")]


PROFILE = ProfileType()


def open_profile(name_or_file: str, variables: Variables) -> Profile:
    """The profile of that name, version (NAME@VERSION) or in that file. Raises UsageError or InputFileError."""
    return load(find_profile(name_or_file), variables)


def kept_trace(name: str) -> "Trace | None":
    """The trace that the profile ``name`` was learned from, if this machine keeps one. Raises InputFileError."""
    from learner.trace import read_trace  # most commands do without

    path = Path(trace_path(name))
    return read_trace(path) if path.exists() else None


def only_profile() -> str:
    """The name of the one profile there is. Raises UsageError when there is none, or a choice."""
    names = [name for name, _ in profile_files()]
    if not names:
        raise UsageError("there is no profile yet", "`sbx learn -- COMMAND` makes one")
    if len(names) > 1:
        raise UsageError(f"which profile? There are {', '.join(names)}", "name it with --profile")
    return names[0]
