"""Dotfiles repositories: those that hold a coding agent's directory, and what their .gitignore must keep out."""

import os
import subprocess
from collections.abc import Iterable

from learner.gaps import Gap
from learner.names import to_text

_AGENTS = {
    ".vibe": ("logs/", "vibehistory", ".env"),
    ".vibecoding": ("sessions/", "logs/", ".env"),
    ".claude": ("projects/", ".credentials.json", "history.jsonl"),
    ".codex": ("sessions/", "log/", "auth.json", "history.jsonl"),
    ".gemini": ("tmp/", "oauth_creds.json"),
    ".qwen": ("tmp/", "oauth_creds.json"),
    ".config/opencode": ("node_modules/",),
}
"""Directories of agents, and what they put there beside their settings: logs, histories, credentials."""
_ALWAYS = (".env", "id_ed25519", "id_rsa", "*.pem")
_SECONDS = 20


def not_ignored(root: str, directories: Iterable[str]) -> tuple[tuple[str, ...], tuple[Gap, ...]]:
    """Patterns that the .gitignore of a dotfiles repository at ``root`` lacks; none if it is no such repository.

    ``directories``: those beneath ``root``, relative. git itself is asked, so that every .gitignore counts.
    """
    known = set(directories)
    if not os.path.lexists(os.path.join(root, ".git")):
        return (), ()
    held = [path for path in sorted(known) if _agent(path)]
    if not held or _is_project(root):
        return (), ()
    wanted = [*_ALWAYS]
    for path in held:
        wanted += [f"{path}/{name}" for name in _AGENTS[_agent(path)] if name not in _ALWAYS]
    probes = {pattern: _probe(pattern) for pattern in wanted}
    try:
        ignored = _ignored(root, list(probes.values()))
    except (OSError, subprocess.SubprocessError) as problem:
        return (), (Gap(".gitignore", f"git could not be asked what it keeps out: {to_text(str(problem))}"),)
    return tuple(pattern for pattern in wanted if probes[pattern] not in ignored), ()


def _agent(path: str) -> str:
    """The agent whose directory ``path`` is, "" if none: at the top, or one down (as stow and chezmoi have them)."""
    for name in _AGENTS:
        plain = [name, "dot_" + name[1:]]
        if path in plain or path.partition("/")[2] in plain:
            return name
    return ""


def _is_project(root: str) -> bool:
    """Whether the repository is some program's source, which has an agent's directory for its own use."""
    build = ("pyproject.toml", "package.json", "Cargo.toml", "go.mod", "pom.xml", "CMakeLists.txt", "Gemfile")
    return any(os.path.exists(os.path.join(root, name)) for name in build)


def _probe(pattern: str) -> str:
    """A path that ``pattern`` is to keep out."""
    return (pattern + "x" if pattern.endswith("/") else pattern).replace("*", "x")


def _ignored(root: str, paths: list[str]) -> frozenset[str]:
    """Those that git would not add. Raises OSError or SubprocessError where git cannot tell."""
    command = ("git", "-c", "core.fsmonitor=false", "-C", root, "check-ignore", "--no-index", "-z", "--stdin")
    data = b"\0".join(os.fsencode(path) for path in paths) + b"\0"
    done = subprocess.run(command, input=data, capture_output=True, timeout=_SECONDS, check=False)
    if done.returncode not in (0, 1):  # git-check-ignore(1): 0 some are ignored, 1 none is
        raise subprocess.SubprocessError(done.stderr.decode(errors="replace").strip().partition("\n")[0])
    return frozenset(os.fsdecode(path) for path in done.stdout.split(b"\0") if path)
