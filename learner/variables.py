"""Paths as portable text: ``$PROJECT/src``, ``$HOME/.gitconfig`` fit another checkout or account as well.

A variable stands only at the beginning, for whole components. Everything else is :mod:`learner.names`'
plain text with ``$`` doubled, so that a file really called ``$HOME`` keeps its name.
"""

import os
import pwd
import re
from typing import NamedTuple, Self

from learner.errors import UsageError
from learner.names import from_text, to_text
from learner.temporary import private_directory

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)(?=/|\Z)")
_DOLLARS = re.compile(r"\$\$?")


class Variables(NamedTuple):
    """What the variables stand for: absolute directories without links or a trailing slash."""

    project: str
    home: str
    temporary: str = ""

    @classmethod
    def here(cls) -> Self:
        """The variables of this process. Raises UsageError if the current directory is gone or unreadable."""
        try:
            cwd = os.path.realpath(os.getcwd())
        except FileNotFoundError:
            raise UsageError("the current directory has been deleted", "cd to one that exists") from None
        except OSError as error:
            raise UsageError(f"the current directory cannot be read ({error.strerror})", "cd to another one") from None
        home = os.path.realpath(home_directory())
        return cls(project=_project(cwd, home), home=home, temporary=private_directory())

    def items(self) -> tuple[tuple[str, str], ...]:
        """(name, directory) pairs, by name."""
        known = ("HOME", self.home), ("PROJECT", self.project)
        return (*known, ("TMPDIR", self.temporary)) if self.temporary else known

    def contract(self, path: str) -> str:
        """The absolute ``path`` as portable text: the longest directory that fits becomes its variable.

        ``$HOME`` is preferred where both are the same directory. A variable that stands for ``/`` is never
        used. What is no absolute path only becomes plain text, with ``$`` doubled.
        """
        for name, directory in sorted(self.items(), key=lambda item: -len(item[1])):
            if directory != "/" and (path == directory or path.startswith(directory + "/")):
                return f"${name}{_plain(path[len(directory) :])}"
        return _plain(path)

    def expand(self, text: str) -> str:
        """The absolute path that ``text`` stands for; doubled, trailing and ``.`` components are dropped.

        Raises ValueError for an unknown variable, a relative path, a ``..``, a lone ``$`` or a bad escape.
        """
        path = self.expand_any(text)
        if not path.startswith("/"):
            raise ValueError(f"{text!r} is a relative path: begin it with /, $PROJECT or $HOME")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ValueError(f"{text!r} holds '..': write the path that is meant")
        return "/" + "/".join(parts)

    def expand_any(self, text: str) -> str:
        """What :meth:`contract` turned into ``text``, path or not. Raises ValueError as :meth:`expand`."""
        match = _VARIABLE.match(text)
        if match is None:
            return _undouble(text)
        directory = dict(self.items()).get(match[1])
        if directory is None:
            names = " and ".join(f"${name}" for name, _ in self.items())
            raise ValueError(f"unknown variable ${match[1]} in {text!r}: there are {names}; write $$ for a $")
        rest = _undouble(text[match.end() :])
        return rest if directory == "/" and rest else directory + rest


def home_directory() -> str:
    """``$HOME``, else (unset, or no absolute path) the account's own, else ``/``."""
    home = os.environ.get("HOME", "")
    if home.startswith("/"):
        return home
    try:
        return pwd.getpwuid(os.getuid()).pw_dir or "/"
    except KeyError:
        return "/"


def _project(cwd: str, home: str) -> str:
    """Git's top level above ``cwd``, else ``cwd``.

    A repository of the home directory itself (people keep dotfiles so), or of what holds it, is no project:
    every directory of the account would be one and the same.
    """
    directory = cwd
    while directory != "/" and directory != home and not home.startswith(directory + "/"):
        if os.path.lexists(f"{directory}/.git"):
            return directory
        directory = os.path.dirname(directory)
    return cwd


def _plain(path: str) -> str:
    return to_text(path).replace("$", "$$")


def _undouble(text: str) -> str:
    if "$" not in text and "\\" not in text and "\0" not in text:
        return text  # nearly every path: a profile is read at each launch
    for match in _DOLLARS.finditer(text):
        if match[0] == "$":
            raise ValueError(f"lone $ in {text!r}: a variable stands at the beginning; write $$ for a $")
    return from_text(text.replace("$$", "$"))
