"""``sbx diagnose --sandbox``: the failures that people met in nono and srt, named, mended in their own syntax, gone."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nono_run
import pytest
import srt_run
from capability import require

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.kernel


class Account(NamedTuple):
    """A home with a project in it, and programs of sandboxes on its PATH."""

    home: Path
    project: Path

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.project,
            env={
                "HOME": str(self.home),
                "PATH": f"{self.home}/bin:{self.home}/boxes:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def sbx(self, *words: object) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-P", "-m", "learner", *words)

    def program(self, text: str) -> Path:
        file = self.home / "bin/tool"
        file.parent.mkdir()
        file.write_text(text)
        file.chmod(0o755)
        return file

    def learn(self) -> None:
        done = self.sbx("learn", "--verify", "off", "--", "tool")
        assert done.returncode == 0, done.stderr

    def diagnose(self, sandbox: str) -> tuple[int, dict[str, Any], str]:
        """(exit status, the document, what was said) of the command ``tool`` in a sandbox."""
        done = self.sbx("diagnose", "--json", "-", "--sandbox", sandbox, "--", "tool")
        return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture
def ada() -> Iterator[Account]:
    """An account that is not in /tmp, which nono opens and srt replaces."""
    top = Path(tempfile.mkdtemp(prefix="sbx-test-", dir="/var/tmp")).resolve()
    home = top / "home"
    (home / "project/.git").mkdir(parents=True)
    try:
        yield Account(home, home / "project")
    finally:
        shutil.rmtree(top)


class NonoLine(NamedTuple):
    """A ``nono run`` line that lacks something, as flags or with a profile."""

    account: Account
    profile: Path | None
    flags: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        given = ["--profile", str(self.profile)] if self.profile else []
        return ["nono", "run", *given, "--allow-cwd", *self.flags, "--"]

    def mended(self, found: dict[str, Any]) -> "NonoLine":
        """The line with the fix: in the profile if there is one."""
        if self.profile is None:
            return self._replace(flags=(*self.flags, *found["arguments"]))
        document = json.loads(self.profile.read_text())
        for line in found["settings"]:
            merge(document, json.loads(line))
        self.profile.write_text(json.dumps(document))
        return self


def merge(document: dict[str, Any], more: dict[str, Any]) -> None:
    for table, lists in more.items():
        for key, values in lists.items():
            document.setdefault(table, {}).setdefault(key, []).extend(values)


@pytest.fixture(params=["flags", "profile"])
def nono(request: pytest.FixtureRequest, ada: Account) -> NonoLine:
    require(nono_run.supported(), "nono-py is not installed, or this kernel has no Landlock")
    nono_run.install(ada.home / "boxes")
    opened = ("--allow", str(ada.project), "--read", str(ada.home / "bin"))
    if request.param == "flags":
        return NonoLine(ada, None, opened)
    profile = ada.home / "profile.json"
    profile.write_text(
        json.dumps({"workdir": {"access": "readwrite"}, "filesystem": {"read": ["$HOME/bin"]}, "network": {}})
    )
    return NonoLine(ada, profile, ())


def mend_once(line: NonoLine) -> tuple[dict[str, Any], str]:
    """Diagnose, apply the fix, and see that it works then: (the document, what was said)."""
    status, found, said = line.account.diagnose(" ".join(line.words))
    assert status == 1, said
    mended = line.mended(found)
    done = line.account.run(*mended.words, "tool")
    assert done.returncode == 0, done.stderr
    return found, said


def test_127_because_the_interpreter_lives_elsewhere(nono: NonoLine) -> None:
    ada = nono.account
    interpreter = ada.home / ".local/share/uv/python/sh"
    interpreter.parent.mkdir(parents=True)
    shutil.copy("/bin/sh", interpreter)
    tool = ada.program(f"#!{interpreter}\necho done > result\n")
    ada.learn()
    (ada.project / "result").unlink()

    refused = ada.run(*nono.words, "tool")
    assert refused.returncode in (126, 127)
    assert not (ada.project / "result").exists()
    found, said = mend_once(nono)
    cause = next(line for line in said.splitlines() if line.startswith("cause: "))
    assert cause == f"cause: {tool} is a script, and its interpreter {interpreter} is refused"
    assert found["arguments"] == ["--read-file", str(interpreter)]
    assert (ada.project / "result").read_text() == "done\n"


def test_a_directory_that_may_not_be_written(nono: NonoLine) -> None:
    ada = nono.account
    trusted = ada.home / ".vibe"
    trusted.mkdir()
    (trusted / "trusted_folders.toml").write_text("a = 1\n")
    ada.program(
        '#!/bin/sh\necho b > "$HOME/.vibe/new.tmp" && mv "$HOME/.vibe/new.tmp" "$HOME/.vibe/trusted_folders.toml"\n'
    )
    ada.learn()
    (trusted / "trusted_folders.toml").write_text("a = 1\n")

    assert ada.run(*nono.words, "tool").returncode != 0
    assert os.listdir(trusted) == ["trusted_folders.toml"]
    assert (trusted / "trusted_folders.toml").read_text() == "a = 1\n"
    found, _ = mend_once(nono)
    assert found["rounds"][0]["cause"]["rule"] == "not-writable"
    assert str(trusted) in found["rounds"][0]["cause"]["sentence"]
    assert [flag for flag in found["arguments"] if flag.startswith("--")] in (["--allow"], ["--write"])
    assert found["arguments"][1] == str(trusted)
    assert (trusted / "trusted_folders.toml").read_text() == "b\n"


def test_a_config_that_is_a_link_into_dotfiles(nono: NonoLine) -> None:
    ada = nono.account
    target = ada.home / "dotfiles/vibe/config.toml"
    target.parent.mkdir(parents=True)
    target.write_text("model = 1\n")
    link = ada.home / ".vibe/config.toml"
    link.parent.mkdir()
    link.symlink_to(target)
    ada.program('#!/bin/sh\ncat "$HOME/.vibe/config.toml" > result 2>/dev/null || { echo default > result; }\n')
    ada.learn()

    assert ada.run(*nono.words, "tool").returncode == 0  # the silent one: defaults were used
    assert (ada.project / "result").read_text() == "default\n"
    found, said = mend_once(nono)
    cause = next(line for line in said.splitlines() if line.startswith("cause: "))
    assert str(link) in cause
    assert str(target) in cause
    assert found["arguments"] == ["--read-file", str(target)]
    assert (ada.project / "result").read_text() == "model = 1\n"


@pytest.mark.parametrize("nono", ["flags"], indirect=True)
def test_a_port_that_is_closed(nono: NonoLine) -> None:
    import nono_py

    require(nono_py.detect_abi().has_network, "Landlock holds no TCP before Linux 6.7")
    ada = nono.account
    closed = nono._replace(flags=(*nono.flags, "--block-net"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ada.program(f"#!/usr/bin/python3 -I\nimport socket\nsocket.create_connection(('127.0.0.1', {port})).close()\n")
        ada.learn()
        assert ada.run(*closed.words, "tool").returncode == 1
        found, said = mend_once(closed)
    assert f"127.0.0.1:{port}" in said
    assert found["arguments"][-2:] == ["--allow-connect-port", str(port)]


@pytest.mark.parametrize("nono", ["flags"], indirect=True)
def test_what_nono_would_not_need_is_not_proposed(nono: NonoLine) -> None:
    ada = nono.account
    ada.program("#!/bin/sh\necho done > result\n")
    status, found, said = ada.diagnose(" ".join(nono.words))
    assert status == 0, said
    assert (found["arguments"], found["settings"]) == ([], [])


def test_in_srt(ada: Account, cache_directory: Path) -> None:
    (ada.home / "boxes").symlink_to(srt_run.install(cache_directory))
    package = (ada.home / "boxes/srt").resolve().parent.parent
    target = ada.home / "dotfiles/config.toml"
    target.parent.mkdir()
    target.write_text("model = 1\n")
    link = ada.home / ".vibe/config.toml"
    link.parent.mkdir()
    link.symlink_to(target)
    tool = ada.program('#!/bin/sh\ncat "$HOME/.vibe/config.toml" > result 2>/dev/null || { echo default > result; }\n')
    ada.learn()
    settings = ada.project / "settings.json"
    document = {
        "network": {"allowedDomains": [], "deniedDomains": []},
        "filesystem": {
            "denyRead": [str(ada.home)],
            "allowRead": [str(package), str(tool)],
            "allowWrite": [str(ada.project)],
            "denyWrite": [],
        },
    }
    settings.write_text(json.dumps(document))
    words = f"srt --settings {settings} --"
    assert ada.run("srt", "--settings", settings, "--", "tool").returncode == 0
    assert (ada.project / "result").read_text() == "default\n"

    status, found, said = ada.diagnose(words)
    assert status == 1, said
    assert str(target) in said
    assert found["arguments"] == []
    for line in found["settings"]:
        merge(document, json.loads(line))
    settings.write_text(json.dumps(document))
    assert ada.diagnose(words)[0] == 0
    assert (ada.project / "result").read_text() == "model = 1\n"
    added = {*document["filesystem"]["allowRead"]} - {str(package), str(tool)}
    assert added <= {str(target), str(link)}
