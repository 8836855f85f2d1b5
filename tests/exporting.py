"""A policy to export, and the objects on disk that tell whether it is held: granted ones and a canary of each kind."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from learner.policy import CHANGES, Grant, Policy, Right, Scope
from learner.profile import Profile
from learner.targets.coarse import LOOK
from learner.targets.request import request_for
from learner.targets.target import Request
from learner.variables import Variables

SYSTEM = ("/usr", "/etc/ld.so.cache")
SECRET = "the canary\n"


class Yard(NamedTuple):
    """A home with a project in it. ``opened``: what the policy grants there."""

    home: Path
    project: Path

    @property
    def canary(self) -> Path:
        return self.home / "secret"

    @property
    def link(self) -> Path:
        return self.home / ".tool/config"

    @property
    def policy(self) -> Policy:
        """The project to work in, one file, one read-only tree, and a link whose target is granted."""
        grants = (
            *(Grant(path, Scope.TREE if os.path.isdir(path) else Scope.FILE, LOOK, ()) for path in SYSTEM),
            Grant(str(self.project), Scope.TREE, LOOK | CHANGES, ()),
            Grant(str(self.home / "notes"), Scope.FILE, Right.READ, ()),
            Grant(str(self.home / "lib"), Scope.TREE, LOOK, ()),
            Grant(str(self.home / "dotfiles/config"), Scope.FILE, Right.READ, ()),
        )
        return Policy(grants, (), (str(self.link),))

    def variables(self) -> Variables:
        return Variables(str(self.project), str(self.home))

    def request(self, *words: str, policy: Policy | None = None) -> Request:
        return request_for(Profile("tool", "tool", policy or self.policy), words or ("tool",), self.variables())

    def run(
        self, words: Sequence[str | Path], more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.project,
            env={"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


PROBE = """\
import errno, os, sys
home, project = os.environ["HOME"], os.getcwd()
def tried(call, *words):
    try:
        call(*words)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "done"
def read(path):
    with open(path) as file:
        assert file.read()
def write(path):
    with open(path, "a") as file:
        file.write("x")
for name, call, path in (
    ("notes", read, home + "/notes"),
    ("lib", read, home + "/lib/deep/module"),
    ("link", read, home + "/.tool/config"),
    ("make", write, project + "/made"),
    ("secret", read, home + "/secret"),
    ("change notes", write, home + "/notes"),
    ("change lib", write, home + "/lib/deep/module"),
    ("make at home", write, home + "/made"),
):
    print(name + ":", tried(call, path))
"""


def results(said: str) -> dict[str, str]:
    """What :data:`PROBE` printed, by name."""
    return dict(line.split(": ", 1) for line in said.splitlines())


def lay_out(top: Path) -> Yard:
    """Make a yard in the directory ``top``, which is to be in no place that sandboxes open by themselves."""
    yard = Yard(top / "home", top / "home/project")
    for path, text in (
        ("notes", "n\n"),
        ("lib/deep/module", "m\n"),
        ("dotfiles/config", "c\n"),
        ("secret", SECRET),
        ("project/.git/HEAD", ""),
        ("project/probe.py", PROBE),
    ):
        file = yard.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    yard.link.parent.mkdir()
    yard.link.symlink_to(yard.home / "dotfiles/config")
    return yard
