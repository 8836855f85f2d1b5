"""What a tool that reads or writes files unasked must be refused: the catalogue's commonest places, as patterns.

Vibe matches a file's absolute path with fnmatch, in which ``*`` stands for slashes too. The whole catalogue has
hundreds of places, more than anybody reviews in a configuration; the kernel policy holds those.
"""

import fnmatch
from collections.abc import Iterable

READING = (
    "**/.env",
    "**/.env.*",
    "**/.git-credentials",
    "**/id_ed25519",
    "**/id_rsa",
    "**/.ssh/*",
    "**/.gnupg/*",
    "**/.aws/*",
    "**/.azure/*",
    "**/.config/gcloud/*",
    "**/.kube/*",
    "**/.docker/*",
    "**/.config/gh/*",
    "**/.netrc",
    "**/.npmrc",
    "**/.pypirc",
    "**/.pgpass",
    "**/.password-store/*",
    "**/.local/share/keyrings/*",
    "**/.mozilla/*",
    "**/.config/google-chrome/*",
    "**/.*_history",
)
CHANGING = (
    *READING,
    "**/.bashrc",
    "**/.bash_profile",
    "**/.profile",
    "**/.zshrc",
    "**/.zshenv",
    "**/.config/fish/*",
    "**/.envrc",
    "**/.git/hooks/*",
    "**/.git/config",
    "**/.vscode/tasks.json",
)
"""With what runs outside of the sandbox later. tests/learner/audit/test_denylist.py holds both to the catalogue."""

_ANYWHERE = ("**/.env", "**/.env.*", "**/.git-credentials", "**/id_ed25519", "**/id_rsa", "**/.envrc", "**/.git/")
_ELSEWHERE = "/srv/project"


def missing(patterns: Iterable[str], wanted: tuple[str, ...], home: str) -> tuple[str, ...]:
    """Those of ``wanted`` that no pattern of a denylist covers, for an account whose home is ``home``."""
    patterns = tuple(patterns)
    return tuple(w for w in wanted if not all(matches(example, patterns) for example in examples(w, home)))


def examples(pattern: str, home: str) -> tuple[str, ...]:
    """Paths that a pattern of this module means."""
    name = pattern.removeprefix("**/").replace("*", "x")
    found = [f"{home}/{name}"]
    if pattern.startswith(_ANYWHERE):
        found.append(f"{_ELSEWHERE}/{name}")
    return tuple(found)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern of a denylist fits ``path``."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
