"""Wrapper functions for shells: typing a command's name runs it confined. Pure: text out.

The function calls ``command sbx``, so neither it nor an alias recurses, and ``command vibe`` still is the bare program.
Everything that comes from a profile is a name of :func:`learner.store.check_name`'s alphabet, or is quoted.
"""

import enum
import os
import re
from collections.abc import Iterable
from typing import NamedTuple


class Shell(enum.StrEnum):
    """The shells that ``sbx shell-init`` speaks."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class Wrapper(NamedTuple):
    """A function called ``name``, which runs ``command`` under the profile of that name."""

    name: str
    command: str


_WORDS = """
    abbr alias and argparse autoload begin bg bind bindkey block break breakpoint builtin bye caller case cd
    cdh chdir chpwd command command_not_found_handle command_not_found_handler commandline compadd
    comparguments compcall compctl compdef compdescribe compfiles compgen compgroups complete compopt
    compquote compset comptags comptry compvalues contains continue coproc count declare dirs disable disown
    do done echo echotc echoti elif else emit emulate enable end esac eval exec exit export false fc fg fi
    fish float for foreach function functions getln getopts hash help history if in integer isatty jobs kill
    let limit local log logout mapfile math nextd nocorrect noglob not or path periodic popd precmd preexec
    prevd print printf private prompt_pwd psub pushd pushln pwd r random read readarray readonly realpath
    rehash repeat return sbx sched select set set_color setopt shift shopt source stat status string suspend
    switch sysopen sysread syswrite test then time times trap true ttyctl type typeset ulimit umask unalias
    unfunction unhash unlimit unset unsetopt until vared wait whence where which while zcompile zformat zftp
    zle zmodload zparseopts zpty zregexparse zselect zshaddhistory zshexit zsocket zstat zstyle zsystem ztcp
"""
RESERVED = frozenset(_WORDS.split())
"""What the shells' grammars, builtins and hooks are called (bash 5.2, zsh 5.9, fish 3.6), and sbx itself: a function of
such a name would break start-up files, or never end."""
_SAFE = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]*\Z")
_ACTS_BY_ITS_NAME = re.compile(r"fish_|TRAP|_|\d+\Z")
"""Hooks of fish and zsh, completion functions, and what fish takes for a number."""


def fits(name: str) -> bool:
    """Whether a function of that name is harmless."""
    return bool(_SAFE.match(name)) and name not in RESERVED and not _ACTS_BY_ITS_NAME.match(name)


def script(shell: Shell, wrappers: Iterable[Wrapper], skipped: Iterable[str] = ()) -> bytes:
    """What the shell evaluates. ``skipped``: printable one-line remarks, which become comments.

    Raises ValueError for a wrapper that does not fit.
    """
    lines = [f"# sbx shell-init {shell}: `command NAME` runs a program without its profile.".encode()]
    lines += [f"# left out: {remark}".encode() for remark in skipped]
    for wrapper in sorted(wrappers):
        if not fits(wrapper.name) or not wrapper.command or "\0" in wrapper.command:
            raise ValueError(f"no function can be called {wrapper.name!r}")
        lines.append(_function(shell, wrapper))
    return b"\n".join(lines) + b"\n"


def _function(shell: Shell, wrapper: Wrapper) -> bytes:
    name = wrapper.name.encode("ascii")
    command = _quote(shell, os.fsencode(wrapper.command))
    if shell is Shell.FISH:
        return b"function %s; command sbx run %s -- %s $argv; end" % (name, name, command)
    # The keyword, and not `name()`: an alias of the name would be expanded there, and `a+()` is a pattern in bash.
    # The function's name stands unquoted, since bash takes it as it is.
    return b'function %s { command sbx run %s -- %s "$@"; }' % (name, name, command)


def _quote(shell: Shell, text: bytes) -> bytes:
    if shell is Shell.FISH:
        return b"'" + text.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"
    return b"'" + text.replace(b"'", b"'\\''") + b"'"
