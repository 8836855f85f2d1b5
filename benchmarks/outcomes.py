"""What a run did: what its tools answered and how it left the project, to compare a confined run with an unconfined."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """What a run did. ``results``: what its tools told the model, or what a tool printed. ``files``: name to digest
    in the project. ``history``: the repository's commits, branches, tags and stashes."""

    status: int
    results: tuple[str, ...]
    files: dict[str, str]
    history: tuple[str, ...]

    def differs(self, other: "Outcome") -> tuple[str, ...]:
        """In what ``other``, the confined run, is not like this one."""
        found = [f"exit status {other.status}, not {self.status}"] if self.status != other.status else []
        if len(self.results) != len(other.results):
            found.append(f"{len(other.results)} results, not {len(self.results)}")
        for number, (mine, its) in enumerate(zip(self.results, other.results, strict=False), 1):
            found += _difference(f"result {number}", steady(mine), steady(its))
        for name in sorted(self.files.keys() | other.files.keys()):
            if self.files.get(name) != other.files.get(name):
                how = "missing" if name not in other.files else "extra" if name not in self.files else "other content"
                found.append(f"{how}: {name}")
        for mine, its in zip(self.history, other.history, strict=True):
            found += _difference("history", steady(mine), steady(its))
        return tuple(found)


def _difference(what: str, mine: str, its: str) -> list[str]:
    """Both texts around the place where they part, if they do."""
    if mine == its:
        return []
    same = next((i for i, (a, b) in enumerate(zip(mine, its, strict=False)) if a != b), min(len(mine), len(its)))
    start = max(0, same - 20)
    return [f"{what}: {its[start : start + 120]!r}, not {mine[start : start + 120]!r}"]


def tool_results(dump: Path) -> tuple[str, ...]:
    """The tool results of the request that holds most of them (the agents here speak chat completions)."""
    best: tuple[str, ...] = ()
    for line in dump.read_text().splitlines() if dump.exists() else ():
        messages = json.loads(line)["body"].get("messages") or []
        found = tuple(_flat(m.get("content")) for m in messages if m.get("role") == "tool")
        best = max(best, found, key=len)
    return best


def _flat(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(_flat(part) for part in content)
    if isinstance(content, dict):
        return "\n".join(_flat(value) for value in content.values())
    return content if isinstance(content, str) else ""


def steady(text: str) -> str:
    """``text`` without what is another one each time: object names, durations, temporary names, and how Vibe's shell
    happened to run a command (through eval or not, which varies unconfined as well)."""
    text = re.sub(r"(?:zsh|\(eval\)):\d+: ", "zsh: ", text)
    text = re.sub(r"/tmp/[\w./-]+", "TEMPORARY", text)
    text = re.sub(r"\b[0-9a-f]{7,40}\b", "HEX", text)
    return re.sub(r"\b\d+(\.\d+)? ?m?s\b", "TIME", text)


def files(project: Path) -> dict[str, str]:
    """Digest of each file's content, by name; compiled and repository files hold times, so only their names count."""
    found = {}
    for path in sorted(project.rglob("*")):
        name = str(path.relative_to(project))
        if name.split("/")[0] == ".git" or path.is_dir():
            continue
        volatile = "__pycache__" in name or ".venv" in name
        content = b"" if volatile or not path.is_file() else path.read_bytes()
        found[name] = hashlib.sha256(content).hexdigest()[:12]
    return found


def history(project: Path, environment: dict[str, str]) -> tuple[str, ...]:
    """What git tells of the repository: commits, branches, tags, stashes, changes; each sorted, because commits of one
    second come in any order."""
    words = ("log", "--all", "--format=%s"), ("branch",), ("tag",), ("stash", "list"), ("status", "--short")
    env = {**environment, "HOME": "/nonexistent"}  # nobody's own settings
    said = (
        subprocess.run(["git", *w], cwd=project, env=env, capture_output=True, text=True, check=False) for w in words
    )
    return tuple("\n".join(sorted(each.stdout.splitlines())) for each in said)
