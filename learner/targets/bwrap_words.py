"""A bubblewrap command line read back: its options as a policy. Pure.

Read are NUL-separated words (``--args``), and shell text with a command line of bwrap in it: quotes, escapes, comments
and line ends as of sh, ``$HOME``, ``$PWD`` and ``~`` as of the variables. What else a shell would work out is a gap.
"""

import enum
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from learner.errors import InputFileError
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import ALWAYS, ANYWHERE, NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets.importing import TextReader
from learner.variables import Variables
from tracers.events import Transport

_NONE = """--as-pid-1 --assert-userns-disabled --clearenv --die-with-parent --disable-userns --new-session --share-net
    --unshare-all --unshare-cgroup --unshare-cgroup-try --unshare-ipc --unshare-net --unshare-pid --unshare-user
    --unshare-user-try --unshare-uts"""
_ONE = """--add-seccomp-fd --args --argv0 --block-fd --cap-add --cap-drop --chdir --dev --dir --exec-label --file-label
    --gid --hostname --info-fd --json-status-fd --lock-file --mqueue --overlay-src --perms --pidns --proc --remount-ro
    --ro-overlay --seccomp --size --sync-fd --tmp-overlay --tmpfs --uid --unsetenv --userns --userns-block-fd
    --userns2"""
_TWO = """--bind --bind-data --bind-fd --bind-try --chmod --dev-bind --dev-bind-try --file --ro-bind --ro-bind-data
    --ro-bind-fd --ro-bind-try --setenv --symlink"""
ARITY = {
    **dict.fromkeys(_NONE.split(), 0),
    **dict.fromkeys(_ONE.split(), 1),
    **dict.fromkeys(_TWO.split(), 2),
    "--overlay": 3,
}
"""How many words follow each option (bwrap(1), 0.8.0 and 0.11.0)."""

_READ = Right.READ | Right.LIST | Right.EXEC | Right.CONNECT
_EVERYTHING = ~NO_RIGHT & ~Right.IOCTL
_BINDS = {"--bind": _EVERYTHING, "--ro-bind": _READ, "--dev-bind": ~NO_RIGHT}
_MEND = "give the options of bwrap: a script that starts it, or the words for its --args"
_PRIVATE = frozenset({"--tmpfs", "--mqueue", "--bind-data", "--ro-bind-data", "--file", "--overlay", "--tmp-overlay"})
_NEUTRAL = {
    "--cap-drop",
    "--chdir",
    "--chmod",
    "--dir",
    "--lock-file",
    "--overlay-src",
    "--perms",
    "--remount-ro",
    "--size",
}
_SILENT = {*_NONE.split()} - {"--clearenv"} | _NEUTRAL
"""Options that open nothing, or are read elsewhere."""
_EXPANSION = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class _Kind(enum.Enum):
    WORD = enum.auto()
    END = enum.auto()
    """Of a command: a line's end, ``;``, ``&``, ``|``."""


class Token(NamedTuple):
    """``text`` with variables filled in; ``unknown``: it holds something that only a shell could work out."""

    text: str
    unknown: bool = False
    kind: _Kind = _Kind.WORD


def options(words: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each option with the words that belong to it, up to the first that is none of bwrap's."""
    at = 0
    while at < len(words) and (arity := ARITY.get(words[at])) is not None and at + arity < len(words):
        yield words[at], tuple(words[at + 1 : at + 1 + arity])
        at += 1 + arity


def read(text: str, where: str, variables: Variables) -> tuple[Policy, tuple[Gap, ...]]:
    """The policy that a bwrap command line stands for. Raises InputFileError if there is none in ``text``."""
    tokens = (
        [Token(word) for word in text.removesuffix("\0").split("\0")] if "\0" in text else _command(text, variables)
    )
    if not tokens or tokens[0].text not in ARITY:
        raise InputFileError(f"{where}: there is no command line of bwrap in it", _MEND)
    return _Reader(where).policy(tokens)


class _Reader:
    def __init__(self, where: str) -> None:
        self._where = where
        self._gaps: set[Gap] = set()
        self._rights: dict[str, Right] = {}
        self._links: set[str] = set()

    def policy(self, tokens: list[Token]) -> tuple[Policy, tuple[Gap, ...]]:
        own_network = False
        at = 0
        while at < len(tokens) and tokens[at].text.startswith("--") and tokens[at].text != "--":
            option = tokens[at].text
            if option not in ARITY:
                raise InputFileError(f"{self._where}: {to_text(option)} is no option of bwrap that sbx knows", _MEND)
            words = tokens[at + 1 : at + 1 + ARITY[option]]
            if len(words) < ARITY[option]:
                raise InputFileError(f"{self._where}: {option} lacks a word", _MEND)
            own_network = own_network or option in ("--unshare-net", "--unshare-all")
            own_network = own_network and option != "--share-net"
            self._take(option, words)
            at += 1 + ARITY[option]
        if at < len(tokens) and tokens[at].unknown:
            shown = to_text(tokens[at].text)
            self._gaps.add(Gap(shown, "what the shell puts in its place is not known: options there are not read"))
        grants = tuple(Grant(path, Scope.TREE, rights, ()) for path, rights in sorted(self._rights.items()))
        network = () if own_network else everything()
        return Policy(grants, network, tuple(sorted(self._links))), tuple(sorted(self._gaps))

    def _take(self, option: str, words: list[Token]) -> None:
        if any(word.unknown for word in words):
            said = " ".join(to_text(word.text) for word in words)
            self._gaps.add(Gap(f"{option} {said}", "only a shell could tell what it stands for: not granted"))
            return
        last = to_text(words[-1].text) if words else ""
        if option.removesuffix("-try") in _BINDS:
            self._bind(option.removesuffix("-try"), words[0].text, words[1].text)
        elif option == "--symlink":
            self._links.add(_path(words[1].text))
        elif option == "--proc":
            self._grant(words[0].text, Right.READ | Right.LIST | Right.WRITE | Right.TRUNCATE)
        elif option == "--dev":
            for device in ("tty", "ptmx"):
                self._grant(f"{words[0].text}/{device}", Right.READ | Right.WRITE | Right.IOCTL)
            self._grant(f"{words[0].text}/pts", Right.READ | Right.LIST | Right.WRITE | Right.IOCTL)
        elif option in _PRIVATE:
            self._gaps.add(Gap(f"{option} {last}", "it is the sandbox's own, not the machine's: not granted"))
        elif option not in _SILENT:
            self._gaps.add(Gap(f"{option} {last}".rstrip(), "a profile does not say this"))

    def _bind(self, option: str, source: str, destination: str) -> None:
        if _path(source) == _path(destination):
            self._grant(source, _BINDS[option])
        elif source == "/dev/null":
            self._gaps.add(Gap(to_text(destination), "it is masked there: a grant of what holds it opens it here"))
        else:
            item = f"{to_text(source)} at {to_text(destination)}"
            self._gaps.add(Gap(item, "only what keeps its place can be granted"))

    def _grant(self, name: str, rights: Right) -> None:
        path = _path(name)
        if not path.startswith("/"):
            self._gaps.add(Gap(to_text(name), "a relative path: not granted"))
        elif not any(device.path == path for device in ALWAYS):
            self._rights[path] = self._rights.get(path, NO_RIGHT) | rights


def everything() -> tuple[NetworkGrant, ...]:
    """Grants of every endpoint."""
    return tuple(
        NetworkGrant(action, ANYWHERE, 0, transport, ())
        for action in NetworkAction
        for transport in (Transport.TCP, Transport.UDP)
    )


def _path(name: str) -> str:
    """``name`` without doubled and trailing slashes."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _command(text: str, variables: Variables) -> list[Token]:
    """The words after ``bwrap`` in the first command of shell text that starts it; or those of one that is options."""
    commands: list[list[Token]] = [[]]
    for token in _tokens(text, variables):
        if token.kind is _Kind.WORD:
            commands[-1].append(token)
        else:
            commands.append([])
    for command in commands:
        for at, word in enumerate(command[:-1]):
            if word.text.rpartition("/")[2] in ("bwrap", "$bwrap") and command[at + 1].text.startswith("--"):
                return command[at + 1 :]
    return next((command for command in commands if command and command[0].text in ARITY), [])


def _tokens(text: str, variables: Variables) -> Iterator[Token]:
    """POSIX shell words (2.2, 2.3), as far as a command line takes them."""
    known = {"HOME": variables.home, "PWD": variables.project}
    word, quoted, open_word, unknown = "", "", False, False
    at = 0
    while at <= len(text):
        char = text[at] if at < len(text) else "\n"
        if quoted == "'":
            quoted, word = ("", word) if char == "'" else (quoted, word + char)
        elif char == "\\" and at + 1 < len(text) and (not quoted or text[at + 1] in '$`"\\\n'):
            at += 1
            word, open_word = (word, open_word) if text[at] == "\n" else (word + text[at], True)
        elif char == "$" and (match := _EXPANSION.match(text, at)) is not None:
            value = known.get(match[1] or match[2])
            word, unknown, open_word = word + (match[0] if value is None else value), unknown or value is None, True
            at = match.end() - 1
        elif char in "$`":
            word, unknown, open_word = word + char, True, True
        elif quoted:
            quoted, word = ("", word) if char == '"' else (quoted, word + char)
        elif char in "'\"":
            quoted, open_word = char, True
        elif char in " \t\n;&|<>()":
            if open_word:
                yield Token(word, unknown)
            if char not in " \t":
                yield Token("", kind=_Kind.END)
            word, open_word, unknown = "", False, False
        elif char == "#" and not open_word:
            at = (text.find("\n", at) + 1 or len(text) + 1) - 2
            if at < -1:
                return
        elif char == "~" and not open_word and text[at + 1 : at + 2] in ("/", "", " ", "\n"):
            word, open_word = known["HOME"], True
        else:
            word, open_word = word + char, True
            unknown = unknown or char in "*?["
        at += 1
    if quoted:
        yield Token("", kind=_Kind.END)


READER = TextReader("bwrap", read)
