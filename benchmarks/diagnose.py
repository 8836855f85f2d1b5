"""How often `sbx diagnose` names the right cause: each thing that a working profile gives is taken away in turn.

For each program and enforcer: learn it, reduce the profile to what the kernel proves to be needed, take away one grant
(on a path, a device or of the network), one symlink or one environment variable, run the command under what is left,
diagnose, apply the fix, run again. What changes neither the exit status nor the effect is counted apart: *not broken*.

    python benchmarks/diagnose.py [--only git,python] [--enforcer landlock] [--most 10] [-v]

Agents (vibe3, vibe226, vibe2, uvvibe, pi, mini) are those that the testbed's setup.sh installed; TESTBED says where its
run_agent.sh is.
"""

import argparse
import atexit
import enum
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

from learner import temporary
from learner.command import find
from learner.diagnosis.case import Diagnosis
from learner.diagnosis.session import Subject, examine, mended
from learner.enforcers.choice import EnforcerName, choose
from learner.errors import SbxError
from learner.minimal import minimal
from learner.places import is_within
from learner.policy import Grant, NetworkGrant, Policy, Scope
from learner.profile import Profile
from learner.session import derive, make_tracer, record
from learner.variables import Variables
from tracers.tracer import TracerName

TESTBED = Path(os.environ.get("TESTBED", "/work/shared/testbed"))
INSTALLED = Path(os.environ.get("AGENTS") or Path.home() / ".cache/sbx-testbed")
LIMIT = 60.0
"""Seconds that a run may take; some programs wait for a network that is refused."""
ROUNDS = 4
"""How often the whole profile may be mended before the removals begin."""
PATH = "/usr/local/bin:/usr/bin:/bin"


class Launch(NamedTuple):
    """What to start, where, and in which environment."""

    words: tuple[str, ...]
    cwd: Path
    env: dict[str, str]


class Program(NamedTuple):
    """Something to run. ``prepare`` lays it out in an empty directory; ``effect``: names there, whose content counts.

    ``held_out``: not looked at while the rules were mended.
    """

    name: str
    prepare: Callable[[Path], Launch]
    effect: tuple[str, ...]
    held_out: bool = False


class Sort(enum.StrEnum):
    """What is taken away."""

    PATH = "path"
    DEVICE = "device"
    NETWORK = "network"
    LINK = "link"
    VARIABLE = "variable"


class Removal(NamedTuple):
    """One thing that is taken away: a grant, or the name of a symlink or variable."""

    sort: Sort
    what: Grant | NetworkGrant | str

    def __str__(self) -> str:
        if isinstance(self.what, Grant):
            return f"{self.what.path} {self.what.scope} {self.what.rights}"
        return f"{self.what.host}:{self.what.port}" if isinstance(self.what, NetworkGrant) else self.what

    def apply(self, policy: Policy) -> Policy:
        """``policy`` without it."""
        return Policy(
            tuple(g for g in policy.grants if g != self.what),
            tuple(n for n in policy.network if n != self.what),
            tuple(link for link in policy.links if link != self.what),
        )


class Result(NamedTuple):
    """One removal. ``broke``: whether the command failed or did something else; ``beyond``: seconds after the run."""

    removed: Removal
    broke: bool
    named: bool
    mended: bool
    broader: bool
    beyond: float
    said: str


def _home(top: Path) -> tuple[Path, Path]:
    """The home directory and the project of a small program."""
    home = top / "home"
    project = home / "project"
    project.mkdir(parents=True)
    return home, project


def _environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": PATH}


def _python(top: Path) -> Launch:
    home, project = _home(top)
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
    return Launch((str(script),), project, _environment(home))


def _git(top: Path) -> Launch:
    home, project = _home(top)
    (home / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    (project / "file").write_text("one\n")
    (project / "commit").write_text(
        "#!/bin/sh\nset -e\ngit init -q .\ngit add file\ngit commit -q -m first\ngit log --format=%s > log\n"
    )
    (project / "commit").chmod(0o755)
    return Launch((f"{project}/commit",), project, _environment(home))


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


def _compiled(top: Path) -> Launch:
    home, project = _home(top)
    source = home / "root.c"
    source.write_text(_C)
    (home / "bin").mkdir()
    subprocess.run(["gcc", "-o", str(home / "bin/tool"), str(source), "-lm"], check=True)
    (project / "number").write_text("27\n")
    return Launch((f"{home}/bin/tool",), project, _environment(home))


def _node(top: Path) -> Launch:
    home, project = _home(top)
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
    return Launch((str(script),), project, _environment(home))


def _npm(top: Path) -> Launch:
    home, project = _home(top)
    (home / "dotfiles").mkdir()
    (home / "dotfiles/npmrc").write_text("update-notifier=false\nfund=false\n")
    (home / ".npmrc").symlink_to("dotfiles/npmrc")
    package = '{"name": "pad", "version": "1.0.0", "scripts": {"build": "node build.js > built"}}\n'
    (project / "package.json").write_text(package)
    (project / "build.js").write_text("console.log(require('os').EOL.length)\n")
    return Launch(("npm", "run", "build", "--silent"), project, _environment(home))


def _agent(name: str) -> Callable[[Path], Launch]:
    """An agent of the testbed, and its scripted model, which listens till the end. vibe's config is a link."""

    def prepare(top: Path) -> Launch:
        dotfiles = top / "home/dotfiles"
        if "vibe" in name:
            dotfiles.mkdir(parents=True)
            (top / "home/.vibe").mkdir()
        env = {**os.environ, "AGENTS": str(INSTALLED), "RUN": str(top), "KEEP": "1", "PRINT": "1"}
        script = [str(TESTBED / "run_agent.sh"), "vibe3" if name == "uvvibe" else name]
        if name == "uvvibe":
            env["VIBE"] = str(INSTALLED / "uvhome/.local/bin/vibe")
        made = subprocess.run(script, env=env, capture_output=True, text=True, check=True)
        rows = [line.split("\t", 1) for line in made.stdout.splitlines() if "\t" in line]
        [stub] = [int(value) for key, value in rows if key == "stub_pid"]
        atexit.register(os.kill, stub, signal.SIGTERM)
        if "vibe" in name:
            config = top / "home/.vibe/config.toml"
            config.rename(dotfiles / "config.toml")
            config.symlink_to(dotfiles / "config.toml")
        # Where mini writes this by default; beside home and project it would only be the testbed's own path.
        default = {f"{top}/mini.traj.json": f"{top}/home/.config/mini-swe-agent/last_mini_run.traj.json"}
        words = tuple(default.get(value, value) for key, value in rows if key == "arg")
        theirs = dict(value.split("=", 1) for key, value in rows if key == "env")
        return Launch(words, top / "proj", theirs)

    return prepare


_SMALL = (
    Program("python", _python, ("home/project/out.json", "home/state/log")),
    Program("git", _git, ("home/project/log",)),
    Program("c", _compiled, ("home/project/root",)),
    Program("node", _node, ("home/project/out.txt",)),
    Program("npm", _npm, ("home/project/built",), held_out=True),
)
AGENTS = ("vibe3", "vibe226", "vibe2", "uvvibe", "pi", "mini")
_HELD_OUT = ("pi", "mini")
PROGRAMS = (*_SMALL, *(Program(name, _agent(name), ("proj/hello.txt",), name in _HELD_OUT) for name in AGENTS))


class World:
    """The directory of a program, laid out anew before each run."""

    def __init__(self, top: Path, program: Program) -> None:
        self._top, self._saved = top / "world", top / "saved"
        self._effect = program.effect
        self._top.mkdir(parents=True)
        self.launch = program.prepare(self._top)
        subprocess.run(["cp", "-a", str(self._top), str(self._saved)], check=True)

    def reset(self) -> None:
        """Everything as it was at first."""
        os.chdir("/")
        temporary_files = os.environ["TMPDIR"]
        shutil.rmtree(temporary_files)
        os.mkdir(temporary_files, 0o700)
        shutil.rmtree(self._top)
        subprocess.run(["cp", "-a", str(self._saved), str(self._top)], check=True)
        os.chdir(self.launch.cwd)

    def effect(self) -> str:
        """What the last run left."""
        digest = hashlib.sha256()
        for name in self._effect:
            file = self._top / name
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


def _removals(policy: Policy, env: dict[str, str], *, links: bool) -> list[Removal]:
    """All that can be taken away. ``links``: where names are hidden, symlinks are among it."""
    found = [Removal(Sort.DEVICE if is_within(g.path, "/dev") else Sort.PATH, g) for g in policy.grants]
    found += [Removal(Sort.NETWORK, n) for n in policy.network]
    found += [Removal(Sort.LINK, link) for link in policy.links if links]
    return [*found, *(Removal(Sort.VARIABLE, name) for name in sorted(env))]


def _within(fix: Policy, removed: Removal) -> bool:
    """Whether a fix grants nothing beyond what was removed."""
    what = removed.what
    if isinstance(what, NetworkGrant):
        return not fix.grants and all((n.host, n.port) == (what.host, what.port) for n in fix.network)
    if isinstance(what, Grant):
        return not fix.network and all(
            what.covers(g.path) and (what.scope is Scope.TREE or g.scope is Scope.FILE) and not g.rights & ~what.rights
            for g in fix.grants
        )
    on_it = all(g.path == what and g.scope is Scope.FILE for g in fix.grants)
    return not fix.network and (on_it if removed.sort is Sort.LINK else not fix.grants)


def _names(found: Diagnosis, removed: Removal) -> bool:
    """Whether the root cause is about what was removed."""
    trouble = found.cause.trouble if found.cause else None
    what = removed.what
    if removed.sort is Sort.VARIABLE:
        return found.cause is not None and found.cause.rule == "environment" and str(what) in found.cause.sentence
    if trouble is None:
        return False
    if isinstance(what, NetworkGrant):
        return trouble.access.endpoint is not None
    if isinstance(what, Grant):
        return what.covers(trouble.anchor) or what.covers(trouble.subject) or what.path.startswith(trouble.subject)
    return trouble.subject == what or what in dict(trouble.links)


def ablate(program: Program, enforcer: EnforcerName, top: Path, most: int = 0) -> Iterator[Result]:
    """The results of all removals, or of at most ``most`` of them, evenly chosen."""
    world = World(top, program)
    whole_env = world.launch.env
    whole_env["TMPDIR"] = str(top / f"sbx-{os.getuid()}")
    temporary.use(whole_env["TMPDIR"])  # as sbx learn and sbx run do
    _be_in(whole_env)
    world.reset()
    command, variables = find(world.launch.words), Variables.here()
    with _apart():
        run = record(command, make_tracer(TracerName.PTRACE), variables)
    expected, effect = run.end.status, world.effect()
    assert expected == 0, (program.name, expected)
    chosen = choose(enforcer).enforcer
    derived = derive(run.trace, frozenset()).policy
    labelled = [(a, run.trace.programs[a.program].label) for a in run.trace.accesses]
    policy = minimal(labelled, derived, chosen).policy
    profile = Profile(name=program.name, command=world.launch.words[0], policy=policy)
    whole = Subject(command, profile, chosen, variables, run.trace, timeout=LIMIT)
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
        raise SbxError(f"{program.name}, {enforcer}: the whole profile does not work: {found.cause}")
    each = _removals(policy, {name: whole_env[name] for name in whole_env if name != "TMPDIR"}, links=chosen.hides)
    for removal in each[:: -(-len(each) // most)] if most else each:
        yield _tried(removal, whole, world, expected, effect)
    _be_in(whole_env)


def _tried(removal: Removal, whole: Subject, world: World, expected: int, effect: str) -> Result:
    """What comes of one removal."""
    less = removal.apply(whole.profile.policy)
    subject = whole._replace(profile=msgspec.structs.replace(whole.profile, policy=less))
    _be_in({name: value for name, value in world.launch.env.items() if name != removal.what})
    world.reset()
    started = time.monotonic()
    try:
        with _apart():
            found = examine(subject)
    except SbxError as problem:
        return Result(removal, True, False, False, False, 0, str(problem))
    beyond = time.monotonic() - started - found.case.seconds
    broke = found.case.status != expected or world.effect() != effect
    named = _names(found, removal)
    works = False
    if broke and (found.fix.grants_something or (named and removal.sort is Sort.VARIABLE)):
        if named and removal.sort is Sort.VARIABLE:
            _be_in(world.launch.env)
        world.reset()
        with _apart():
            again = examine(mended(subject, found))
        works = again.case.status == expected and world.effect() == effect
    said = f"{found.cause.rule}: {found.cause.sentence}" if found.cause else "-"
    return Result(removal, broke, named, works, not _within(found.fix.policy, removal), beyond, said)


def _be_in(env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)


def main() -> int:
    """Print one line a program and enforcer; the status is 1 if any goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=0, help="removals of each program (default: all)")
    parser.add_argument("--enforcer", default="landlock,layered")
    parser.add_argument("-v", "--verbose", action="store_true", help="each removal")
    options = parser.parse_args()
    wanted = [p for p in PROGRAMS if (p.name in options.only.split(",") if options.only else p in _SMALL)]
    print("| program | enforcer | taken away | broke it | cause named | mended in one round | broader | slowest s |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    environment, missed = dict(os.environ), 0
    for program in wanted:
        for name in options.enforcer.split(","):
            _be_in(environment)
            with tempfile.TemporaryDirectory(prefix="sbx-ablate-") as top:
                results = list(
                    _shown(
                        ablate(program, EnforcerName(name), Path(os.path.realpath(top)), options.most), options.verbose
                    )
                )
                os.chdir("/")
            broke = [r for r in results if r.broke]
            row = (len(results), len(broke), sum(r.named for r in broke), sum(r.mended for r in broke))
            broader = sum(r.broader for r in results)
            missed += sum(not (r.named and r.mended) for r in broke) + broader
            slowest = max((r.beyond for r in results), default=0.0)
            held = " (held out)" if program.held_out else ""
            print(
                f"| {program.name}{held} | {name} | {' | '.join(map(str, row))} | {broader} | {slowest:.2f} |",
                flush=True,
            )
            for sort in Sort:
                some = [r for r in broke if r.removed.sort is sort]
                if some:
                    print(
                        f"    {sort}: {len(some)} broke it, {sum(r.named and r.mended for r in some)} mended",
                        file=sys.stderr,
                    )
    return 1 if missed else 0


def _shown(results: Iterator[Result], verbose: bool) -> Iterator[Result]:
    """``results``, each told as soon as it is there, if it missed or all are wanted."""
    for r in results:
        bad = r.broader or (r.broke and not (r.named and r.mended))
        if verbose or bad:
            flags = f"broke={r.broke} named={r.named} mended={r.mended} broader={r.broader} beyond={r.beyond:.2f}"
            print(
                f"    {'!' if bad else ' '} {r.removed.sort} {r.removed}: {flags}: {r.said}",
                file=sys.stderr,
                flush=True,
            )
        yield r


if __name__ == "__main__":
    sys.exit(main())
