"""Every rule about a project: a tree that breaks it, and one that does not."""

import os
import subprocess
from pathlib import Path

import pytest
from audited import Account

from learner.audit import project
from learner.audit.audit import directory
from learner.audit.edits import apply, changes
from learner.errors import InputFileError

KEY = "-----BEGIN PRIVATE KEY-----\nx\n"
BAD = (
    ("project-secret", ".env", "A=b\n"),
    ("project-secret", "sub/.env.local", "A=b\n"),
    ("project-secret", "deploy/id_ed25519", "x"),
    ("project-secret", "tls/server.key", KEY),
    ("project-git-hooks", ".git/hooks/pre-commit", "#!/bin/sh\n"),
    ("project-git-config", ".git/config", "[core]\n\tfsmonitor = ./x\n"),
    ("project-git-config", ".git/config", "[core]\n\thooksPath = hooks\n"),
    ("project-tasks", ".envrc", "export A=b\n"),
    ("project-tasks", ".vscode/tasks.json", "{}"),
    ("project-npm-scripts", "package.json", '{\n "scripts": {\n  "test": "x",\n  "postinstall": "node x"}}\n'),
)


def good(account: Account) -> None:
    """A project with nothing to find: hooks elsewhere, an example instead of a secret, scripts that are named."""
    for name, text in (
        (".git/HEAD", "ref: refs/heads/main\n"),
        (".git/hooks/pre-commit.sample", "#!/bin/sh\n"),
        (".env.example", "A=\n"),
        ("package.json", '{"scripts": {"test": "x", "build": "y"}}'),
        ("docs/server.key", "not a key\n"),
        ("src/main.py", "print()\n"),
        ("tools/env/pyvenv.cfg", ""),
        ("node_modules/x/package.json", '{"scripts": {"postinstall": "x"}}'),
    ):
        account.write(f"work/engine/{name}", text)
    account.write(".gitconfig", "[core]\n\thooksPath = ~/.githooks\n")
    (account.project / "tools/env/python").symlink_to("/usr/bin/python3")
    (account.project / "link").symlink_to("src/main.py")
    (account.project / "outer").symlink_to(account.project / "src")


def test_a_good_project_has_no_findings(tmp_path: Path) -> None:
    account = Account(tmp_path)
    good(account)
    assert account.project_rules() == {}


@pytest.mark.parametrize(("rule", "name", "text"), BAD)
def test_a_bad_one_is_found(rule: str, name: str, text: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    good(account)
    account.write(f"work/engine/{name}", text)
    assert account.project_rules() == {rule: name}


def test_the_line_of_a_script(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write("work/engine/package.json", BAD[-1][2])
    [finding] = directory(str(account.project), account.context).findings
    assert (finding.line, finding.detail) == (4, "npm runs postinstall by itself")


def test_a_writable_hooks_directory_is_found_unless_git_looks_elsewhere(tmp_path: Path) -> None:
    account = Account(tmp_path)
    good(account)
    (account.home / ".gitconfig").unlink()
    assert account.project_rules() == {"project-git-hooks": ".git/hooks"}
    os.chmod(account.project / ".git/hooks", 0o555)
    assert account.project_rules() == {}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "/nowhere/yet"])
def test_a_link_out_is_found(target: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    good(account)
    (account.project / "src/out").symlink_to(target)
    assert account.project_rules() == {"project-link-out": "src/out"}


def test_a_world_writable_directory_is_found_and_mended(tmp_path: Path) -> None:
    account = Account(tmp_path)
    good(account)
    os.chmod(account.project / "src", 0o777)
    assert account.project_rules() == {"project-world-writable": "src"}
    for change in changes(directory(str(account.project), account.context).edits):
        apply(change)
    assert (account.project / "src").stat().st_mode & 0o777 == 0o755
    assert account.project_rules() == {}


@pytest.mark.parametrize("place", [".vibe", "vibe/.vibe", "dot_vibe"])
def test_a_dotfiles_repository_must_ignore_what_agents_write(place: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    subprocess.run(("git", "init", "-q", account.project), check=True)
    os.chmod(account.project / ".git/hooks", 0o555)
    account.write(f"work/engine/{place}/config.toml", "")
    assert account.project_rules() == {"project-gitignore": ".gitignore"}
    ignore = account.write("work/engine/.gitignore", "*.swp  # mine")
    [finding] = directory(str(account.project), account.context).findings
    assert f"{place}/logs/" in finding.detail
    assert ".env" in finding.detail
    for change in changes(finding.edits):
        apply(change)
    assert ignore.read_text().startswith("*.swp  # mine\n.env\n")
    assert account.project_rules() == {}


def test_a_program_with_an_agents_directory_is_no_dotfiles_repository(tmp_path: Path) -> None:
    account = Account(tmp_path)
    subprocess.run(("git", "init", "-q", account.project), check=True)
    os.chmod(account.project / ".git/hooks", 0o555)
    account.write("work/engine/.vibe/config.toml", "")
    account.write("work/engine/pyproject.toml", "")
    assert account.project_rules() == {}


def test_git_that_cannot_tell_is_a_gap(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write("work/engine/.git/HEAD", "broken")
    account.write("work/engine/.vibe/config.toml", "")
    report = directory(str(account.project), account.context)
    assert [gap.item for gap in report.gaps] == [".gitignore"]


def test_a_project_that_is_not_there(tmp_path: Path) -> None:
    account = Account(tmp_path)
    with pytest.raises(InputFileError, match="No such file"):
        directory(str(tmp_path / "nothing"), account.context)


def test_every_rule_has_a_bad_sample() -> None:
    elsewhere = {"project-link-out", "project-world-writable", "project-gitignore"}
    assert {rule.id for rule in project.RULES} == {rule for rule, *_ in BAD} | elsewhere
