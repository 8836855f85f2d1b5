"""``sbx check``, the versions that ``sbx learn`` keeps, and the commands of docs/ci.md, as they stand there."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jailed import jails_work

from learner.enforcers.landlock import abi

pytestmark = pytest.mark.kernel

RECIPE = Path(__file__).parents[2] / "docs/ci.md"
ROOT = Path(__file__).parents[2]
TASK = """#!/bin/sh
cat /etc/hostname > "$PWD/out"
[ -n "$MORE" ] || exit 0
[ -d "$HOME/.agent" ] || mkdir "$HOME/.agent"
echo x > "$HOME/.agent/state" && "$PWD/helper" > /dev/null
exit 0
"""


class Machine:
    """A home, and a project in it with a task; ``sbx`` and a stand-in for ``gh`` on PATH."""

    def __init__(self, top: Path) -> None:
        self.home, self.project, self.bin = top / "home", top / "work/project", top / "bin"
        for directory in (self.home, self.project / "profiles", self.bin):
            directory.mkdir(parents=True)
        self.script(self.project / "task", TASK)
        self.script(self.project / "helper", "#!/bin/sh\necho helping\n")
        self.script(self.bin / "sbx", f'#!/bin/sh\nexec {sys.executable} -m learner "$@"\n')
        self.script(self.bin / "gh", '#!/bin/sh\necho "$@" > "$HOME/gh"\n')
        subprocess.run(["git", "init", "-q", self.project], check=True)

    @staticmethod
    def script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def sh(self, script: str, status: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
            "XDG_STATE_HOME": f"{self.home}/state",
            "LANG": "C.UTF-8",
            "PR": "7",
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.project,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{script}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def machine(scratch: Path, require: Callable[[object, str], None]) -> Machine:
    require(abi(), "Landlock")
    return Machine(scratch)


def steps() -> dict[str, str]:
    """The commands of each step of the recipe that runs some, by its name."""
    text = RECIPE.read_text()
    yaml = text[text.index("```yaml") :].partition("```\n")[0]
    found = re.findall(r"- name: (\w+)\n(?:        if: .*\n)?        run: \|\n((?:          .*\n)+)", yaml)
    return {name: re.sub(r"(?m)^ {10}", "", script) for name, script in found}


def blocks() -> list[str]:
    """The shell blocks of the page."""
    return re.findall(r"```sh\n(.*?)```", RECIPE.read_text(), re.DOTALL)


def test_the_recipe(machine: Machine) -> None:
    found = steps()
    assert list(found) == ["Learn", "Compare", "Comment"]
    accept, check = blocks()
    learn = found["Learn"].replace("--verify off", "--verify off --enforcer landlock")
    machine.sh(learn + "mv new.toml profiles/agent.toml")

    machine.sh(learn)
    same = machine.sh(found["Compare"])
    assert "no difference" in same.stdout
    machine.sh(check)

    machine.sh(learn, MORE="1")
    grown = machine.sh(found["Compare"], status=1)
    assert "may change $HOME/.agent/**" in grown.stdout
    assert "runs $PROJECT/helper  by task → helper" in grown.stdout
    machine.sh(found["Comment"])
    assert (machine.home / "gh").read_text().split() == [
        *("pr", "comment", "7", "--edit-last", "--create-if-none", "--body-file", "comment.md")
    ]
    assert "`$HOME/.agent/**`" in (machine.project / "comment.md").read_text()
    assert json.loads((machine.project / "sbx.sarif").read_text())["runs"][0]["results"]

    machine.sh(accept)
    machine.sh(found["Compare"])
    assert (machine.project / "profiles/agent.accepted").exists()


def test_drift(machine: Machine) -> None:
    check = "sbx check"
    machine.sh("sbx learn --verify off -- ./task")
    before = (machine.home / ".config/sbx/profiles/task.toml").read_bytes()
    fits = machine.sh(f"{check} task -- ./task")
    assert "no difference" in fits.stderr
    assert (machine.project / "out").read_text() == Path("/etc/hostname").read_text()

    (machine.home / ".agent").mkdir()  # the profile does not name it; unconfined it can be written
    machine.sh("./task", MORE="1")
    (machine.home / ".agent/state").unlink()
    (machine.project / "out").unlink()
    drift = machine.sh(f"{check} --json drift.json task -- ./task", status=1, MORE="1")
    assert "may change $HOME/.agent" in drift.stderr
    assert not (machine.home / ".agent/state").exists()
    found = json.loads((machine.project / "drift.json").read_text())
    assert any("/.agent" in denied for denied in found["denied"])
    assert (machine.home / ".config/sbx/profiles/task.toml").read_bytes() == before

    followed = machine.sh(f"{check} --follow task -- ./task", status=1, MORE="1")
    assert "runs $PROJECT/helper  by task → helper" in followed.stderr
    assert (machine.home / ".agent/state").exists()  # the one that was asked for by --follow


def test_a_watched_run_is_a_run(machine: Machine) -> None:
    machine.sh("sbx learn --verify off -- ./task")
    (machine.home / ".agent").mkdir()
    machine.script(machine.project / "task", TASK.replace("exit 0\n", "exit 7\n").replace("|| exit 7", "|| exit 0"))
    quiet = machine.sh("sbx run --watch --enforcer landlock task -- ./task")
    assert "no difference" in quiet.stderr
    drift = machine.sh("sbx run --watch --enforcer landlock task -- ./task", status=7, MORE="1")
    assert "may change $HOME/.agent" in drift.stderr
    assert not (machine.home / ".agent/state").exists()
    hidden = machine.sh("sbx run --watch task -- ./task", status=7, MORE="1")
    assert "$HOME/.agent" in hidden.stderr
    for wrong in ("--level strict task", "--limit time=3s task", "--network jail task", ""):
        machine.sh(f"sbx run --watch {wrong} -- ./task", status=2)


def test_another_host_is_drift_by_its_name(machine: Machine, require: Callable[[object, str], None]) -> None:
    require(jails_work(), "this machine permits no network jail")
    connect = "import socket; s = socket.create_connection((sys.argv[1], 4430), 9); s.close()"
    script = f'#!/bin/sh\nexec /usr/bin/python3 -I -c "import sys; {connect}" "${{HOST:-one.invalid}}"\n'
    machine.script(machine.project / "task", script)
    machine.sh(
        "sbx learn --names --verify off -- ./task"
    )  # in a jail every name has an address, whoever has it outside
    same = machine.sh("sbx check task -- ./task")
    assert "no difference" in same.stderr
    drift = machine.sh("sbx check --allow-unused task -- ./task", status=1, HOST="other.invalid")
    assert "+ may connect to other.invalid:4430/tcp  by task" in drift.stderr


def test_another_port_is_drift(machine: Machine) -> None:
    connect = "socket.create_connection(('127.0.0.1', int(os.environ['PORT']))).close()"
    machine.script(machine.project / "task", f'#!/bin/sh\nexec /usr/bin/python3 -I -c "import os, socket; {connect}"\n')
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(server.getsockname()[1]) for server in (one, other)]
        machine.sh("sbx learn --verify off -- ./task", PORT=ports[0])
        assert "no difference" in machine.sh("sbx check task -- ./task", PORT=ports[0]).stderr
        drift = machine.sh("sbx check --allow-unused task -- ./task", status=1, PORT=ports[1])
        assert f"+ may connect to 127.0.0.1:{ports[1]}/tcp  by task" in drift.stderr
        assert f"  refused  connect 127.0.0.1:{ports[1]}/tcp (python3)" in drift.stderr


def test_what_cannot_be_held_is_not_run(machine: Machine) -> None:
    machine.sh("sbx learn --verify off -- ./task")
    (machine.project / "out").unlink()
    for command, status in (("sbx check", 3), ("sbx run --watch", 125)):
        refused = machine.sh(f"{command} --enforcer landlock --require attributes task -- ./task", status=status)
        assert "does not hold 'attributes'" in refused.stderr
        assert not (machine.project / "out").exists()


def test_a_run_that_was_stopped_is_no_news_of_all_that_came_after(machine: Machine) -> None:
    (machine.home / "more").write_text("more\n")
    stop = '[ -z "$MORE" ] || cat "$HOME/more" > /dev/null || exit 5\n'
    machine.script(machine.project / "task", TASK.replace("#!/bin/sh\n", "#!/bin/sh\n" + stop))
    machine.sh("sbx learn --verify off -- ./task")
    drift = machine.sh("sbx check --enforcer landlock task -- ./task", status=1, MORE="1")
    assert "may read $HOME/more" in drift.stderr
    assert "gone:" not in drift.stderr
    assert "-v lists them" in drift.stderr
    assert "gone:" in machine.sh("sbx check --enforcer landlock -v task -- ./task", status=1, MORE="1").stderr


def test_what_is_no_longer_needed(machine: Machine) -> None:
    machine.sh("sbx learn --verify off -- ./task", MORE="1")
    gone = machine.sh("sbx check task -- ./task", status=1)
    assert "- runs $PROJECT/helper  by task → helper" in gone.stderr
    assert "+" not in gone.stderr.replace("0 added", "")
    machine.sh("sbx check --allow-unused --enforcer landlock task -- ./task")


def test_what_is_left_out_as_sensitive_is_drift_only_when_it_is_new(machine: Machine) -> None:
    (machine.home / ".netrc").write_text("machine x\n")
    machine.script(machine.project / "task", '#!/bin/sh\ncat "$HOME/.netrc" > /dev/null || true\n')
    machine.sh("sbx learn --verify off -- ./task", status=1)
    machine.sh("sbx check --allow-unused task -- ./task")
    machine.script(machine.project / "task", '#!/bin/sh\ncat "$HOME/.netrc" "$HOME/.pgpass" > /dev/null || true\n')
    (machine.home / ".pgpass").write_text("x\n")
    drift = machine.sh("sbx check --allow-unused task -- ./task", status=1)
    assert "used, and was not granted to read, $HOME/.pgpass" in drift.stderr
    assert ".netrc" not in drift.stderr.partition("this run")[2]


def test_learning_keeps_every_version(machine: Machine) -> None:
    package = machine.project / "node_modules/tool"
    package.mkdir(parents=True)
    machine.script(package / "cli", TASK)
    for version in ("1.2.0", "1.10.0"):
        (package / "package.json").write_text(json.dumps({"name": "tool", "version": version}))
        machine.sh("sbx learn -n tool --verify off -- node_modules/tool/cli", MORE="1" if version == "1.10.0" else "")
    listed = machine.sh("sbx show --history tool").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["1.2.0", "1.10.0"]
    found = machine.sh("sbx diff tool@1.2 tool@1.10 --fail-on exec", status=1)
    assert "  cli  1.2.0 → 1.10.0" in found.stdout
    assert "runs $PROJECT/helper  by cli → helper" in found.stdout
    assert "no difference" in machine.sh("sbx diff tool@1.10.0 tool").stdout
    machine.sh("sbx run --enforcer landlock tool@1.2 -- node_modules/tool/cli")

    # What was edited by hand is kept as well when another version replaces it.
    profile = machine.home / ".config/sbx/profiles/tool.toml"
    profile.write_text(profile.read_text() + '\n[[grant]]\npath = "/opt/by-hand"\nscope = "file"\nrights = ["read"]\n')
    (package / "package.json").write_text(json.dumps({"name": "tool", "version": "2.0"}))
    machine.sh("sbx learn -n tool --verify off -- node_modules/tool/cli")
    assert "/opt/by-hand" in machine.sh("sbx show tool@1.10 --json").stdout


def test_a_version_that_cannot_be_kept_costs_nothing_else(machine: Machine) -> None:
    (machine.home / "state/sbx").mkdir(parents=True)
    (machine.home / "state/sbx/history").write_text("in the way")
    done = machine.sh("sbx learn --verify off -- ./task", status=1)
    assert "this version could not be kept" in done.stderr
    assert (machine.home / ".config/sbx/profiles/task.toml").exists()


def test_the_version_is_asked_for_only_on_request(machine: Machine) -> None:
    tool = '#!/bin/sh\n[ "$1" = --version ] && { echo "$1" >> "$PWD/asked"; echo tool 4.5.6; }\nexit 0\n'
    machine.script(machine.project / "task", tool)
    machine.sh("sbx learn --verify off -- ./task")
    assert not (machine.project / "asked").exists()
    assert "sha256-" in machine.sh("sbx show --history task").stdout
    machine.sh("sbx learn --verify off --ask-version -- ./task")
    assert "4.5.6" in machine.sh("sbx show --history task").stdout
