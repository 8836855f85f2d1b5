"""Of the commands that a run started: which subcommand, for programs that have some, and nothing else of arguments.

An approval list needs to tell ``git status`` from ``git push``. Arguments may be secrets, so a trace holds at most the
first one, of the programs below alone, and only where it is a plain word (:mod:`tracers.words`).
"""

import msgspec

from tracers.words import KEPT_BACK

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "ash", "busybox"})
_NAMES = (
    "git hg svn jj gh glab npm yarn pnpm bun deno cargo rustup go pip pip3 pipx uv poetry pdm hatch conda mamba gem "
    "bundle composer apt apt-get brew nix snap flatpak docker podman nerdctl kubectl helm terraform tofu systemctl "
    "dotnet mix stack cabal zig"
)
_TAKE_SUBCOMMANDS = frozenset(_NAMES.split())
"""Programs whose first argument is the name of a subcommand, by their manuals."""


class Subcommand(msgspec.Struct, frozen=True, order=True):
    """``program``: the index of the one that started it; ``name``: of what was started.

    ``word``: its subcommand (of a shell: its first flag, such as ``-c``), "" if it had no argument, KEPT_BACK if its
    first one is not kept.
    """

    program: int
    name: str
    word: str


def kept(program: int, name: str, word: str) -> Subcommand | None:
    """What a trace holds of a program that was started with the first argument ``word``; None if nothing."""
    if name in _TAKE_SUBCOMMANDS:
        return Subcommand(program, name, KEPT_BACK if word.startswith("-") else word)
    if name in SHELLS:
        return Subcommand(program, name, word if word.startswith("-") or not word else KEPT_BACK)
    return None
