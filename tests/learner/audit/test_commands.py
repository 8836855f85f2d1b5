"""Which commands give away a shell."""

import pytest

from learner.audit.commands import gives_shell

SHELLS = (
    "git", "git push", "git -c", "npm", "npm run", "npx ", "python", "python3.12", "/usr/bin/python3", "find",
    "find . -exec", "*", "l*", "", "  ", "bash -c", "sudo ls", "env", "xargs", "make ", "cargo test", "docker ps",
    "ls; rm", "ls && x", "echo $(x)", "ls | sh", "PAGER=x man", "awk", "sed", "vim", "curl", "uv run", "node22", "go ",
    "pip install", "ssh", "tar", "perl -e", "source", ".", "timeout 5",
)  # fmt: skip
TELLS = (
    "ls",
    "ls ",
    "cat",
    "git status",
    "git diff --stat",
    "git log",
    "head -n",
    "wc",
    "pwd",
    "rg",
    "tree",
    "echo",
    "npm ls",
)


@pytest.mark.parametrize("entry", SHELLS)
def test_these_do(entry: str) -> None:
    assert gives_shell(entry)


@pytest.mark.parametrize("entry", TELLS)
def test_these_do_not(entry: str) -> None:
    assert gives_shell(entry) == ""
