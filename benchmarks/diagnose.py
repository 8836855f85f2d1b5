"""How often `sbx diagnose` names the right cause: each grant of a working profile is removed in turn.

For each program and enforcer: learn it, reduce the profile to what the kernel proves to be needed, remove one grant (a
whole one, on a path or of the network), run the command under what is left, diagnose, apply the fix, run again. A
removal that changes neither the exit status nor the effect counts apart.

    python benchmarks/diagnose.py [--only git,python] [--enforcer landlock] [-v]
"""

import argparse
import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from learner.command import find
from learner.diagnosis.case import Diagnosis
from learner.diagnosis.session import Subject, examine, mended
from learner.enforcers.choice import EnforcerName, choose
from learner.errors import SbxError
from learner.minimal import minimal
from learner.policy import Grant, NetworkGrant, Policy, Scope
from learner.profile import Profile
from learner.session import derive, make_tracer, record
from learner.variables import Variables
from tracers.tracer import TracerName

AnyGrant = Grant | NetworkGrant
LIMIT = 60.0
"""Seconds that a run may take; some programs wait for a network that is refused."""
ROUNDS = 4
"""How often the whole profile may be mended before the removals begin."""


class Program(NamedTuple):
    """Something to run: ``prepare`` lays out home and project, ``effect`` says what a run left in them."""

    name: str
    words: tuple[str, ...]
    prepare: Callable[[Path, Path], None]
    effect: tuple[str, ...]
    """Names in the project whose content is the effect."""


class Result(NamedTuple):
    """One removal. ``broke``: whether the command failed or did something else; ``quiet``: nothing changed."""

    program: str
    enforcer: str
    removed: AnyGrant
    broke: bool
    named: bool
    mended: bool
    broader: bool
    seconds: float
    said: str


def _python(home: Path, project: Path) -> None:
    dotfiles = home / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "tool.toml").write_text("name = 'ada'\n")
    (home / ".config").mkdir()
    (home / ".config/tool.toml").symlink_to(dotfiles / "tool.toml")
    (home / "bin").mkdir()
    base = home / "base"
    base.mkdir()
    (base / "python3").symlink_to(os.path.realpath(sys.executable))
    script = home / "bin/tool"
    script.write_text(
        f"#!{base}/python3 -I\n"
        "import json, math, os, pathlib, socket, sqlite3, ssl, tomllib\n"
        "home = pathlib.Path(os.environ['HOME'])\n"
        "config = tomllib.loads((home / '.config/tool.toml').read_text())\n"
        "out = pathlib.Path('out.json')\n"
        "temporary = pathlib.Path('.out.tmp')\n"
        "temporary.write_text(json.dumps({'name': config['name'], 'pi': math.pi}))\n"
        "temporary.replace(out)\n"
        "(home / 'state').mkdir(exist_ok=True)\n"
        "(home / 'state/log').write_text('done')\n"
        "print(sorted(os.listdir('.')))\n"
    )
    script.chmod(0o755)


def _git(home: Path, project: Path) -> None:
    (home / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    (project / "file").write_text("one\n")
    (project / "commit").write_text(
        "#!/bin/sh\nset -e\ngit init -q .\ngit add file\ngit commit -q -m first\ngit log --format=%s > log\n"
    )
    (project / "commit").chmod(0o755)


_C = """
#include <math.h>
#include <stdio.h>
int main(int argc, char **argv) {
  FILE *in = fopen("number", "r"); double x;
  if (!in || fscanf(in, "%lf", &x) != 1) { perror("number"); return 3; }
  FILE *out = fopen("root", "w");
  if (!out) { perror("root"); return 4; }
  fprintf(out, "%.6f\\n", cbrt(x)); fclose(out); return 0;
}
"""


def _compiled(home: Path, project: Path) -> None:
    source = home / "root.c"
    source.write_text(_C)
    (home / "bin").mkdir()
    subprocess.run(["gcc", "-o", str(home / "bin/tool"), str(source), "-lm"], check=True)
    (project / "number").write_text("27\n")


def _node(home: Path, project: Path) -> None:
    (home / "bin").mkdir()
    (home / ".toolrc.json").write_text('{"greeting": "hello"}')
    modules = home / "lib/node_modules/pad"
    modules.mkdir(parents=True)
    (modules / "index.js").write_text("module.exports = text => text.padStart(10)\n")
    script = home / "bin/tool"
    script.write_text(
        "#!/usr/bin/env node\n"
        "const fs = require('fs'), os = require('os'), path = require('path')\n"
        "const pad = require(path.join(os.homedir(), 'lib/node_modules/pad'))\n"
        "const rc = JSON.parse(fs.readFileSync(path.join(os.homedir(), '.toolrc.json')))\n"
        "fs.writeFileSync('out.txt', pad(rc.greeting))\n"
    )
    script.chmod(0o755)


_CONFIG = """\
active_model = "stub"
enable_update_checks = false
enable_auto_update = false
enable_telemetry = false
[[providers]]
name = "stub"
api_base = "{url}/v1"
api_key_env_var = "STUB_API_KEY"
backend = "generic"
api_style = "openai"
[[models]]
name = "stub-model"
provider = "stub"
alias = "stub"
"""


def _vibe(home: Path, project: Path) -> None:
    """A config that is a link into dotfiles, a git project, and a scripted model that listens till the end."""
    told = Path(tempfile.mkdtemp()) / "port"
    stub = Path(__file__).resolve().parent.parent / "fixtures/stub_model.py"
    # No child of ours: a trace ends when all children of its process have, and takes them along.
    start = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdin=-3, stdout=-3, stderr=-3).pid)"
    words = [sys.executable, "-c", start, sys.executable, str(stub), "--port-file", str(told)]
    server = int(subprocess.run(words, capture_output=True, check=True).stdout)
    atexit.register(os.kill, server, signal.SIGTERM)
    while not told.exists():
        time.sleep(0.05)
    (home / "dotfiles").mkdir()
    (home / "dotfiles/config.toml").write_text(_CONFIG.format(url=f"http://127.0.0.1:{told.read_text().strip()}"))
    (home / ".vibe").mkdir()
    (home / ".vibe/config.toml").symlink_to(home / "dotfiles/config.toml")
    (project / "README.md").write_text("# A scratch project\n")
    subprocess.run(["git", "init", "-q", str(project)], check=True)


VIBE = os.environ.get("SBX_TEST_VIBE", "")
_TASK = "Read README.md, write hello.txt, run git status, then stop."

PROGRAMS = (
    Program("python", ("{home}/bin/tool",), _python, ("out.json", "../state/log")),
    Program("git", ("{project}/commit",), _git, ("log",)),
    Program("c", ("{home}/bin/tool",), _compiled, ("root",)),
    Program("node", ("{home}/bin/tool",), _node, ("out.txt",)),
    *([Program("vibe", (VIBE, "-p", _TASK, "--max-turns", "10"), _vibe, ("hello.txt",))] if VIBE else []),
)


class World:
    """A home and a project at the same paths, laid out anew before each run."""

    def __init__(self, top: Path, program: Program) -> None:
        self.home, self.project = top / "home", top / "home/project"
        self._saved = top / "saved"
        self._program = program
        self.project.mkdir(parents=True)
        program.prepare(self.home, self.project)
        subprocess.run(["cp", "-a", str(self.home), str(self._saved)], check=True)

    @property
    def words(self) -> tuple[str, ...]:
        places = {"home": str(self.home), "project": str(self.project)}
        return tuple(word.format(**places) for word in self._program.words)

    def reset(self) -> None:
        os.chdir("/")
        shutil.rmtree(self.home)
        subprocess.run(["cp", "-a", str(self._saved), str(self.home)], check=True)
        os.chdir(self.project)

    def effect(self) -> str:
        digest = hashlib.sha256()
        for name in self._program.effect:
            file = self.project / name
            digest.update(file.read_bytes() if file.exists() else b"absent")
        return digest.hexdigest()


@contextmanager
def _apart() -> Iterator[None]:
    saved = os.dup(0), os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    try:
        yield
    finally:
        for descriptor, before in enumerate(saved):
            os.dup2(before, descriptor)
        for descriptor in (*saved, null):
            os.close(descriptor)


def _without(policy: Policy, grant: AnyGrant) -> Policy:
    if isinstance(grant, NetworkGrant):
        return msgspec.structs.replace(policy, network=tuple(n for n in policy.network if n != grant))
    return msgspec.structs.replace(policy, grants=tuple(g for g in policy.grants if g != grant))


def _within(fix: Policy, removed: AnyGrant) -> bool:
    """Whether a fix grants nothing beyond what was removed."""
    if isinstance(removed, NetworkGrant):
        return not fix.grants and all((n.host, n.port) == (removed.host, removed.port) for n in fix.network)
    return not fix.network and all(
        removed.covers(g.path)
        and (removed.scope is Scope.TREE or g.scope is Scope.FILE)
        and not g.rights & ~removed.rights
        for g in fix.grants
    )


def _names(found: Diagnosis, removed: AnyGrant) -> bool:
    """Whether the root cause is about what was removed."""
    trouble = found.cause.trouble if found.cause else None
    if trouble is None:
        return False
    if isinstance(removed, NetworkGrant):
        return trouble.access.endpoint is not None
    return removed.covers(trouble.anchor) or removed.covers(trouble.subject) or removed.path.startswith(trouble.subject)


def ablate(program: Program, enforcer: EnforcerName, top: Path, most: int = 0) -> Iterator[Result]:
    """The results of all removals, or of at most ``most`` of them, evenly chosen."""
    world = World(top, program)
    os.environ |= {"HOME": str(world.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "STUB_API_KEY": "none"}
    world.reset()
    command, variables = find(world.words), Variables.here()
    with _apart():
        run = record(command, make_tracer(TracerName.PTRACE), variables)
    expected, effect = run.end.status, world.effect()
    assert expected == 0, (program.name, expected)
    chosen = choose(enforcer).enforcer
    derived = derive(run.trace, frozenset()).policy
    labelled = [(a, run.trace.programs[a.program].label) for a in run.trace.accesses]
    policy = minimal(labelled, derived, chosen).policy
    profile = Profile(name=program.name, command=world.words[0], policy=policy)
    whole = Subject(command, profile, chosen, variables, run.trace)
    for _ in range(ROUNDS):  # what an enforcer needs beyond the recording (links) is to be found by a diagnosis, too
        world.reset()
        with _apart():
            found = examine(whole)
        if found.works or not found.fix.grants_something:
            break
        whole = mended(whole, found)
        print(f"    mended first: {found.cause.sentence if found.cause else ''}", file=sys.stderr)
    policy = whole.profile.policy
    if found.case.status != expected or world.effect() != effect:
        yield Result(
            program.name,
            enforcer,
            Grant("-", Scope.FILE, policy.grants[0].rights, ()),
            True,
            False,
            False,
            False,
            0,
            f"whole profile: {found.cause}",
        )
    each = (*policy.grants, *policy.network)
    for grant in each[:: -(-len(each) // most)] if most else each:
        subject = whole._replace(profile=msgspec.structs.replace(whole.profile, policy=_without(policy, grant)))
        world.reset()
        started = time.monotonic()
        try:
            with _apart():
                found = examine(subject._replace(timeout=LIMIT))
        except SbxError as problem:
            yield Result(program.name, enforcer, grant, True, False, False, False, 0, str(problem))
            continue
        seconds = time.monotonic() - started
        broke = found.case.status != expected or world.effect() != effect
        works = False
        if found.fix.grants_something:
            world.reset()
            with _apart():
                again = examine(mended(subject, found))
            works = again.case.status == expected and world.effect() == effect
        named = _names(found, grant)
        broader = not _within(found.fix.policy, grant)
        said = f"{found.cause.rule}: {found.cause.sentence}" if found.cause else "-"
        yield Result(program.name, enforcer, grant, broke, named, works, broader, seconds, said)


def main() -> int:
    """Print one line a program and enforcer; the status is 1 if any goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=0, help="removals of each program (default: all)")
    parser.add_argument("--enforcer", default="landlock,layered")
    parser.add_argument("-v", "--verbose", action="store_true", help="each removal")
    options = parser.parse_args()
    wanted = [p for p in PROGRAMS if not options.only or p.name in options.only.split(",")]
    print("| program | enforcer | grants | broke it | cause named | mended in one round | broader | slowest s |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    missed = 0
    for program in wanted:
        for name in options.enforcer.split(","):
            with tempfile.TemporaryDirectory(prefix="sbx-ablate-") as top:
                results = list(ablate(program, EnforcerName(name), Path(os.path.realpath(top)), options.most))
                os.chdir("/")
            broke = [r for r in results if r.broke]
            row = (len(results), len(broke), sum(r.named for r in broke), sum(r.mended for r in broke))
            broader = sum(r.broader for r in results)
            missed += sum(not (r.named and r.mended) for r in broke) + broader
            slowest = max((r.seconds for r in results), default=0.0)
            print(f"| {program.name} | {name} | {' | '.join(map(str, row))} | {broader} | {slowest:.2f} |", flush=True)
            for r in results:
                bad = r.broader or (r.broke and not (r.named and r.mended))
                if options.verbose or bad:
                    where = getattr(r.removed, "path", None) or getattr(r.removed, "host", "")
                    flags = f"broke={r.broke} named={r.named} mended={r.mended} broader={r.broader}"
                    print(
                        f"    {'!' if bad else ' '} {where} {getattr(r.removed, 'rights', '')}: {flags}: {r.said}",
                        file=sys.stderr,
                    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
