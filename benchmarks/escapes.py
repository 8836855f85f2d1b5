"""Every escape under every enforcer of this machine, as a Markdown table: ``python benchmarks/escapes.py [PROFILE]``.

Without a profile: the policy grants reading and executing the system, and nothing else.
"""

import importlib
import sys
import tempfile
from pathlib import Path

from learner.enforcers.enforcer import Enforcer
from learner.errors import MachineError
from learner.escapes.outcome import Verdict
from learner.escapes.release import release
from learner.places import Map
from learner.policy import Grant, Policy, Right, Scope
from learner.probe import NoAnswer
from learner.profile import load
from learner.variables import Variables

ENFORCERS = (
    ("landlock", "LandlockEnforcer"),
    ("bubblewrap", "BubblewrapEnforcer"),
    ("layered", "LayeredEnforcer"),
)
SHORT = {Verdict.REFUSED: "", Verdict.GAP: "gap: ", Verdict.VOID: "void", Verdict.FAILED: "**FAILED** "}


def enforcers() -> list[Enforcer]:
    """Those that exist in this version."""
    found = []
    for module, name in ENFORCERS:
        try:
            found.append(getattr(importlib.import_module(f"learner.enforcers.{module}"), name)())
        except ModuleNotFoundError:
            continue
    return found


def policy(words: list[str]) -> Policy:
    """What is enforced."""
    if words:
        return load(words[0], Variables.here()).policy
    system = [d for d in ("/usr", "/etc", "/proc", "/sys") if Path(d).is_dir()]
    return Policy(tuple(Grant(d, Scope.TREE, Right.READ | Right.LIST | Right.EXEC, ()) for d in system))


def main(words: list[str]) -> None:
    """Print the table."""
    rows: dict[str, dict[str, str]] = {}
    names = []
    with tempfile.TemporaryDirectory() as top:
        home, project = Path(top, "home").resolve(), Path(top, "home/work/project").resolve()
        project.mkdir(parents=True)
        home.joinpath(".bashrc").write_text("# mine\n")
        for enforcer in enforcers():
            try:
                found = release(policy(words), Map(str(project), str(home)), enforcer)
            except (MachineError, NoAnswer) as problem:
                print(f"{enforcer.name}: {problem}", file=sys.stderr)
                continue
            names.append(enforcer.name)
            for tried in found.tried:
                detail = "" if tried.verdict is Verdict.VOID else tried.detail
                rows.setdefault(tried.escape.name, {})[enforcer.name] = SHORT[tried.verdict] + detail
    print("| escape |" + "".join(f" {name} |" for name in names))
    print("|---|" + "---|" * len(names))
    for escape, cells in rows.items():
        print(f"| {escape} |" + "".join(f" {cells[name]} |" for name in names))


if __name__ == "__main__":
    main(sys.argv[1:])
