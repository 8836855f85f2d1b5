"""Paths as portable text: ``$PROJECT/src``, ``$HOME/.gitconfig`` fit another checkout or account as well.

A directory's variable stands only at the beginning, for whole components. Within a name of a directory that is the
user's or temporary stand ``${UID}`` and, where a program named something after the project's path,
``${PROJECT:dashes}`` and the other forms of :mod:`learner.slugs`. Everything else is :mod:`learner.names`'
plain text with ``$`` doubled, so that a file really called ``$HOME`` keeps its name.
"""

import functools
import os
import pwd
import re
from typing import NamedTuple, Self

from learner import slugs
from learner.errors import UsageError
from learner.names import from_text, to_text
from learner.places import Map
from learner.prefix import prefix_of
from learner.slugs import Form
from learner.temporary import private_directory

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)(?=/|\Z)")
_DOLLARS = re.compile(r"\$\$|\$\{([^{}$/]*)\}|\$")
_LENGTH = re.compile(r"[1-9][0-9]?")
_UID_PLACES = re.compile(
    r"(?:/run/user/|(?:/tmp|/var/tmp|/dev/shm|/private/tmp)/[^/]*[-._])(?P<uid>\d+)(?=/|\Z)", re.ASCII
)
"""Where a user id stands in a path: logind's directories, and ``/tmp/tmux-1000``."""
_COMMON = ("/tmp/", "/var/tmp/", "/dev/shm/", "/private/tmp/", "/run/user/")  # noqa: S108 - names, not files
_DIRECTORIES = {
    "PREFIX": "the program is not installed, or has no directory of its own",
    "TMPDIR": "there is no private directory for temporary files",
    "XDG_CACHE_HOME": "it is not set",
    "XDG_CONFIG_HOME": "it is not set",
    "XDG_DATA_HOME": "it is not set",
    "XDG_RUNTIME_DIR": "this session has none",
    "XDG_STATE_HOME": "it is not set",
}
"""The variables that may have no value, and why."""
_XDG = (
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
)
"""XDG Base Directory Specification 0.8: the defaults, beneath the home."""


class Variables(NamedTuple):
    """What the variables stand for: absolute directories without links or a trailing slash.

    ``prefix``: where the program is installed. ``xdg``: (name, directory) pairs. ``uid``: the user's, -1 if ``${UID}``
    is not to be used.
    """

    project: str
    home: str
    temporary: str = ""
    prefix: str = ""
    xdg: tuple[tuple[str, str], ...] = ()
    uid: int = -1

    @classmethod
    def here(cls, file: str = "") -> Self:
        """The variables of this process, for the program that was found at ``file`` if one is given.

        Raises UsageError if the current directory is gone or unreadable.
        """
        try:
            cwd = os.path.realpath(os.getcwd())
        except FileNotFoundError:
            raise UsageError("the current directory has been deleted", "cd to one that exists") from None
        except OSError as error:
            raise UsageError(f"the current directory cannot be read ({error.strerror})", "cd to another one") from None
        home = os.path.realpath(home_directory())
        uid = os.getuid()
        found = cls(_project(cwd, home), home, private_directory(), xdg=_base_directories(home, uid), uid=uid)
        return found.with_program(file) if file else found

    def with_program(self, file: str) -> Self:
        """These, with the prefix of the program that was found at ``file``; links are followed."""
        found = os.path.join(os.path.realpath(os.path.dirname(file)), os.path.basename(file))
        return self._replace(prefix=prefix_of(os.path.realpath(file), self._replace(prefix="").places, found))

    @property
    def places(self) -> Map:
        """The same directories, for :mod:`learner.places`."""
        return Map(self.project, self.home, self.temporary, self.prefix)

    def items(self) -> tuple[tuple[str, str], ...]:
        """(name, directory) pairs of those that have a value, by name."""
        known = [("HOME", self.home), ("PROJECT", self.project), *self.xdg]
        if self.prefix:
            known.append(("PREFIX", self.prefix))
        if self.temporary:
            known.append(("TMPDIR", self.temporary))
        return tuple(sorted(known))

    def contract(self, path: str) -> str:
        """The absolute ``path`` as portable text: the longest directory that fits becomes its variable.

        ``$HOME`` is preferred where several are the same directory, ``$PREFIX`` comes last. A variable that stands for
        ``/`` is never used. What is no absolute path only becomes plain text, with ``$`` doubled.
        """
        for directory, within, name, named in _order(self):
            if path == directory:
                return name
            if path.startswith(within):
                rest = path[len(directory) :]
                return name + (self._named(rest) if named else _plain(rest))
        return self._named(path, whole=True) if path.startswith(_COMMON) else _plain(path)

    def expand(self, text: str) -> str:
        """The absolute path that ``text`` stands for; doubled, trailing and ``.`` components are dropped.

        Raises ValueError for an unknown variable or form, a name that the variables leave empty, a relative path, a
        ``..``, a lone ``$`` or a bad escape.
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
            return self._unnamed(text)
        directory = _directories(self).get(match[1])
        if directory is None:
            raise ValueError(self._unknown(match[1], text))
        rest = self._unnamed(text[match.end() :])
        return rest if directory == "/" and rest else directory + rest

    def names_project(self, name: str) -> bool:
        """Whether a file name holds the project's path or digest, and nothing else that changes from run to run."""
        from learner.volatile import is_volatile  # it needs the access graph

        rest, at = "", 0
        for slug in slugs.find_all(name, self.project):
            rest += name[at : slug.start] + "-"
            at = slug.end
        return at > 0 and not is_volatile(rest + name[at:])

    def _named(self, path: str, whole: bool = False) -> str:
        """``path``, or (not ``whole``) the end of one, as text in which names may hold variables."""
        found = [(slug.start, slug.end, _project_form(slug)) for slug in slugs.find_all(path, self.project)]
        if whole and self.uid >= 0 and (match := _UID_PLACES.match(path)) is not None:
            at, end = match.span("uid")
            apart = all(end <= start or last <= at for start, last, _ in found)
            if apart and match["uid"] == str(self.uid):
                found = sorted([*found, (at, end, "${UID}")])
        if not found:
            return _plain(path)
        text, at = "", 0
        for start, end, variable in found:
            text += _plain(path[at:start]) + variable
            at = end
        return text + _plain(path[at:])

    def _unnamed(self, text: str) -> str:
        """What :meth:`_named` and :func:`_plain` wrote."""
        if "$" not in text and "\\" not in text and "\0" not in text:
            return text  # nearly every path: a profile is read at each launch
        for match in _DOLLARS.finditer(text):
            if match[0] == "$":
                raise ValueError(
                    f"lone $ in {text!r}: a variable stands at the beginning, or in braces in a name; write $$ for a $"
                )
        if "${" not in text:
            return _literal(text)
        path = "/".join([self._component(part, text) if "$" in part else _literal(part) for part in text.split("/")])
        # Bytes on both sides of a variable may be one character together.
        return path if path.isascii() else os.fsdecode(os.fsencode(path))

    def _component(self, name: str, text: str) -> str:
        """One component of ``text``. An empty one would be the directory above: more than was meant."""
        found, at, variables = "", 0, False
        for match in _DOLLARS.finditer(name):
            if match[0] != "$$":
                found += _literal(name[at : match.start()]) + self._value(match[1], text)
                at, variables = match.end(), True
        found += _literal(name[at:])
        if variables and found in ("", ".", ".."):
            raise ValueError(f"{name!r} in {text!r} is no name for the project {to_text(self.project)}")
        return found

    def _value(self, variable: str, text: str) -> str:
        """What ``${variable}`` stands for."""
        if variable == "UID" and self.uid >= 0:
            return str(self.uid)
        name, _, rest = variable.partition(":")
        form, colon, length = rest.partition(":")
        if name == "PROJECT" and form in _FORMS:
            digits = _FORMS[form].digits
            if not colon:
                return slugs.render(_FORMS[form], self.project)
            if _LENGTH.fullmatch(length) and slugs.SHORTEST_DIGEST <= int(length) <= digits:
                return slugs.render(_FORMS[form], self.project, int(length))
            if digits:
                raise ValueError(f"${{{variable}}} in {text!r}: {form} has {slugs.SHORTEST_DIGEST} to {digits} digits")
        known = [f"${{PROJECT:{form}}}" for form in Form]
        if self.uid >= 0:
            known.insert(0, "${UID}")
        raise ValueError(
            f"unknown variable ${{{variable}}} in {text!r}: in a name there are {_listed(known)}; write $$ for a $"
        )

    def _unknown(self, name: str, text: str) -> str:
        known = _listed([f"${known}" for known, _ in self.items()])
        why = f"{_DIRECTORIES[name]}; " if name in _DIRECTORIES else ""
        if name == "UID":
            why = "it is written ${UID}, in a name; "
        return f"unknown variable ${name} in {text!r}: {why}there are {known}; write $$ for a $"


def home_directory() -> str:
    """``$HOME``, else (unset, or no absolute path) the account's own, else ``/``."""
    home = os.environ.get("HOME", "")
    if home.startswith("/"):
        return home
    try:
        return pwd.getpwuid(os.getuid()).pw_dir or "/"
    except KeyError:
        return "/"


_FORMS = {form.value: form for form in Form}


@functools.lru_cache(maxsize=16)
def _directories(variables: Variables) -> dict[str, str]:
    return dict(variables.items())


@functools.lru_cache(maxsize=16)
def _order(variables: Variables) -> tuple[tuple[str, str, str, bool], ...]:
    """(directory, the same with a slash, ``$NAME``, whether names in it may hold variables), the longest first."""
    found = sorted(variables.items(), key=lambda item: (-len(item[1]), item[0] == "PREFIX", item[0]))
    return tuple(
        (directory, directory + "/", f"${name}", name not in ("PROJECT", "PREFIX"))
        for name, directory in found
        if directory != "/"
    )


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


def _base_directories(home: str, uid: int) -> tuple[tuple[str, str], ...]:
    """The XDG base directories, by name. Those that are set to no absolute path count as not set, as specified."""
    found = {name: os.path.join(home, default) for name, default in _XDG}
    if os.path.isdir(f"/run/user/{uid}"):
        found["XDG_RUNTIME_DIR"] = f"/run/user/{uid}"
    for name in (*found, "XDG_RUNTIME_DIR"):
        value = os.environ.get(name, "")
        if value.startswith("/"):
            found[name] = value
    return tuple(sorted((name, os.path.realpath(directory)) for name, directory in found.items()))


def _project_form(slug: slugs.Slug) -> str:
    return f"${{PROJECT:{slug.form}{f':{slug.length}' if slug.length else ''}}}"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _plain(path: str) -> str:
    return to_text(path).replace("$", "$$")


def _literal(text: str) -> str:
    """What :func:`_plain` wrote."""
    text = text.replace("$$", "$")
    return from_text(text) if "\\" in text or "\0" in text else text
