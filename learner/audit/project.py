"""What in a project reaches beyond a sandbox that grants it: links out, secrets, and files that others run later."""

import json
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from learner.audit import dotfiles
from learner.audit.context import Context, mode_of
from learner.audit.finding import Action, Edit, Hit, Rule, Severity, Topic
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import Right
from learner.sensitive import Catalogue, Concern

_SKIPPED = frozenset({"node_modules", ".venv", "venv", "site-packages", "__pycache__", ".tox", ".nox", "target"})
"""Packages: large, and not the project's own."""
_MOST = 200_000
_HOOK_NAMES = (
    "applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change "
    "post-merge post-receive post-rewrite post-update pre-applypatch pre-auto-gc pre-commit pre-merge-commit "
    "pre-push pre-rebase pre-receive prepare-commit-msg push-to-checkout reference-transaction sendemail-validate "
    "update"
)
_HOOKS = frozenset(_HOOK_NAMES.split())
"""githooks(5)."""
_TASKS = {
    ".envrc": "direnv runs it when somebody enters the directory, once it is allowed",
    ".vscode/tasks.json": "the editor runs its tasks, some of them when the folder is opened",
    ".vscode/settings.json": "it names programs that the editor runs",
    ".idea/workspace.xml": "it holds commands that the editor runs",
    ".devcontainer/devcontainer.json": "its commands run when the container is made, some of them on the host",
    ".pre-commit-config.yaml": "pre-commit runs what it names at each commit",
    ".husky": "git runs the hooks in it at each commit",
    "lefthook.yml": "git runs what it names at each commit",
    ".mise.toml": "mise runs its hooks when somebody enters the directory",
    ".gitattributes": "it names filters that git runs, where the configuration defines them",
    ".vimrc": "vim runs it where exrc is set",
    ".nvim.lua": "neovim runs it where exrc is set",
}
_LIFECYCLE = re.compile(r"(?:pre|post)?(?:install|prepare|publish|pack|uninstall)\Z")
"""npm-scripts(7), "Life Cycle Scripts": run without being named."""
_GIT_PROGRAMS = re.compile(
    r"^\s*(?P<key>fsmonitor|hookspath|pager|editor|sshcommand|external|textconv|clean|smudge|process|askpass|helper"
    r"|cmd|command)\s*=\s*(?P<value>.*\S)",
    re.IGNORECASE | re.MULTILINE,
)
"""git-config(1): keys whose value is a program."""


class Tree(NamedTuple):
    """A project that was walked: paths relative to ``root``, sorted. ``gaps``: what was not looked at.

    ``unignored``: what a dotfiles repository's .gitignore lets in (:mod:`learner.audit.dotfiles`).
    """

    root: str
    context: Context
    links: tuple[str, ...]
    files: tuple[str, ...]
    directories: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
    unignored: tuple[str, ...] = ()


def walk(root: str, context: Context) -> Tree:
    """The project at ``root`` (absolute, without links), packages left out. Raises OSError if it cannot be listed."""
    links, files, directories, gaps = [], [], [], []
    todo, seen = [""], 0
    while todo:
        above = todo.pop()
        try:
            entries = list(os.scandir(os.path.join(root, above)))
        except OSError as problem:
            if not above:
                raise
            gaps.append(Gap(to_text(above), f"not looked into: {problem.strerror}"))
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue  # a virtual environment (PEP 405), whatever it is called
        seen += len(entries)
        if seen > _MOST:
            gaps.append(Gap(to_text(root), f"only {_MOST} of its files were looked at"))
            break
        for entry in entries:
            path = f"{above}/{entry.name}" if above else entry.name
            if entry.is_symlink():
                links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                directories.append(path)
                if entry.name not in _SKIPPED and path != ".git/objects":
                    todo.append(path)
            else:
                files.append(path)
    unignored, unknown = dotfiles.not_ignored(root, directories)
    links.sort()
    files.sort()
    directories.sort()
    told = tuple(sorted({*gaps, *unknown}))
    return Tree(root, context, tuple(links), tuple(files), tuple(directories), told, unignored)


def _links(tree: Tree) -> Iterator[Hit]:
    for name in tree.links:
        path = os.path.join(tree.root, name)
        target = os.path.realpath(path)
        if not is_within(target, tree.root):
            there = "" if os.path.exists(target) else ", where nothing is yet"
            yield Hit(f"it leads to {to_text(target)}{there}", path=path)


def _secrets(tree: Tree) -> Iterator[Hit]:
    catalogue = Catalogue(tree.context.home)
    for name in tree.files:
        path = os.path.join(tree.root, name)
        entry = catalogue.match(path, Right.READ)
        if entry is not None and entry.concern is Concern.ANY:
            yield Hit(entry.reason, path=path)
        elif name.endswith((".pem", ".key", ".p12", ".pfx")) and _is_key(path):
            yield Hit("private key", path=path)


def _is_key(path: str) -> bool:
    if path.endswith((".p12", ".pfx")):
        return True
    try:
        with open(path, "rb") as stream:
            return b"PRIVATE KEY-----" in stream.read(1 << 16)
    except OSError:
        return False


def _hooks(tree: Tree) -> Iterator[Hit]:
    for name in tree.files:
        directory, _, base = name.rpartition("/")
        if directory.endswith(".git/hooks") and base in _HOOKS:
            yield Hit(f"git runs it at {base}", path=os.path.join(tree.root, name))
    path = os.path.join(tree.root, ".git/hooks")
    if ".git/hooks" in tree.directories and mode_of(path) & 0o222 and not _hooks_elsewhere(tree):
        yield Hit("a hook that is made here runs at your next commit", path=path)


def _hooks_elsewhere(tree: Tree) -> bool:
    """Whether core.hooksPath of the account or the repository names a directory outside of the project."""
    for path in (os.path.join(tree.root, ".git/config"), os.path.join(tree.context.home, ".gitconfig")):
        for match in _GIT_PROGRAMS.finditer(_read(path)):
            if match["key"].lower() == "hookspath" and _outside(tree, match["value"]):
                return True
    return False


def _outside(tree: Tree, directory: str) -> bool:
    path = directory.strip('"').replace("~", tree.context.home, 1)
    return path.startswith("/") and not is_within(os.path.realpath(path), tree.root)


def _git_config(tree: Tree) -> Iterator[Hit]:
    for name in tree.files:
        if name in (".git/config", ".gitmodules") or name.endswith("/.git/config"):
            path = os.path.join(tree.root, name)
            text = _read(path)
            for match in _GIT_PROGRAMS.finditer(text):
                if match["key"].lower() == "hookspath" and _outside(tree, match["value"]):
                    continue
                line = text.count("\n", 0, match.start("key")) + 1
                yield Hit(f"{match['key']} names a program", path=path, line=line)


def _tasks(tree: Tree) -> Iterator[Hit]:
    names = {*tree.files, *tree.directories}
    for name, why in sorted(_TASKS.items()):
        if name in names:
            yield Hit(why, path=os.path.join(tree.root, name))


def _scripts(tree: Tree) -> Iterator[Hit]:
    for name in tree.files:
        if name.rpartition("/")[2] != "package.json":
            continue
        path = os.path.join(tree.root, name)
        text = _read(path)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            continue
        scripts = document.get("scripts") if isinstance(document, dict) else None
        for key in sorted(scripts) if isinstance(scripts, dict) else ():
            if _LIFECYCLE.match(key):
                place = text.find(f'"{key}"')
                yield Hit(f"npm runs {key} by itself", path=path, line=text.count("\n", 0, max(place, 0)) + 1)


def _world_writable(tree: Tree) -> Iterator[Hit]:
    for name in ("", *tree.directories):
        path = os.path.join(tree.root, name) if name else tree.root
        try:
            mode = stat.S_IMODE(os.lstat(path).st_mode)
        except OSError:
            continue
        if mode & stat.S_IWOTH:
            yield Hit(f"its mode is {mode:04o}", path=path, edits=(Edit(path, Action.MODE, (), mode & ~0o022),))


def _ignored(tree: Tree) -> Iterator[Hit]:
    if tree.unignored:
        path = os.path.join(tree.root, ".gitignore")
        some = ", ".join(to_text(each) for each in tree.unignored)
        yield Hit(f"it lets in {some}", path=path, line=1, edits=(Edit(path, Action.LINES, (), tree.unignored),))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


RULES: tuple[Rule[Tree], ...] = (
    Rule(
        "project-secret",
        Severity.HIGH,
        Topic.READ,
        "a secret inside of the project",
        "A grant on the project opens it: Landlock has no rule that closes one file below a granted directory.",
        "Move it out of the project, or keep it encrypted.",
        _secrets,
    ),
    Rule(
        "project-link-out",
        Severity.MEDIUM,
        Topic.OTHER,
        "a symlink that leads out of the project",
        "A tool that checks names follows it out; in a sandbox it breaks, until its target is granted.",
        "Remove it, or grant its target knowingly.",
        _links,
    ),
    Rule(
        "project-git-hooks",
        Severity.MEDIUM,
        Topic.WRITE,
        "git hooks that the agent may write",
        "The agent's process is confined, your next commit is not.",
        "Set core.hooksPath to a directory outside of the project.",
        _hooks,
    ),
    Rule(
        "project-git-config",
        Severity.MEDIUM,
        Topic.WRITE,
        "programs in the repository's git configuration",
        "git runs them outside of the sandbox, for commands as harmless as `git status`.",
        "See that each is yours, and keep them in ~/.gitconfig instead.",
        _git_config,
    ),
    Rule(
        "project-tasks",
        Severity.MEDIUM,
        Topic.WRITE,
        "task files that run outside of the sandbox later",
        "The agent may change them, and your editor or shell runs them unconfined.",
        "Look at their diff before you commit or open the folder.",
        _tasks,
    ),
    Rule(
        "project-npm-scripts",
        Severity.MEDIUM,
        Topic.WRITE,
        "package scripts that run by themselves",
        "Your next `npm install` runs them unconfined, and the agent may change them.",
        "npm config set ignore-scripts true, or look at their diff first.",
        _scripts,
    ),
    Rule(
        "project-world-writable",
        Severity.MEDIUM,
        Topic.WRITE,
        "directories that anybody may write to",
        "Any account of this machine can put files before the agent and before you.",
        "chmod o-w.",
        _world_writable,
    ),
    Rule(
        "project-gitignore",
        Severity.HIGH,
        Topic.READ,
        "a dotfiles repository that lets logs, .env or keys in",
        "What an agent writes beside its configuration is committed with it, and pushed.",
        "Add the names to .gitignore.",
        _ignored,
    ),
)
