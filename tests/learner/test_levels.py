"""What each level grants, on a machine made up for the test."""

import os
from pathlib import Path

import pytest

from learner.errors import UsageError
from learner.levels import (
    MEANING,
    READING,
    WORKING,
    Base,
    Files,
    Level,
    base,
    check_project,
    describe,
    environment,
    for_command,
)
from learner.places import Map
from learner.policy import CHANGES, NO_RIGHT, Grant, NetworkAction, Policy, Right, Scope
from learner.sensitive import CATALOGUE, Catalogue
from tracers.events import Transport

HOME, PROJECT, TEMPORARY = "/home/ada", "/home/ada/work/engine", "/tmp/sbx-1000"
PLACES = Map(PROJECT, HOME, TEMPORARY)
LINKS = {"/bin": "/usr/bin", "/sbin": "/usr/sbin", "/lib": "/usr/lib", "/lib64": "/usr/lib64"}
LINKS |= {"/etc/resolv.conf": "/run/systemd/resolve/stub-resolv.conf", "/etc/localtime": "/usr/share/zoneinfo/UTC"}
FILES = {
    "/usr/bin/git",
    "/opt/tool/bin/tool",
    "/opt/closed/key",
    "/run/systemd/resolve/stub-resolv.conf",
    "/usr/share/zoneinfo/UTC",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/ssl/certs/ca.pem",
    "/etc/ssl/private/key.pem",
    "/etc/python3.11/sitecustomize.py",
    "/etc/pythonic/x",
    "/etc/perl/secret.pm",
    "/sys/devices/system/cpu/online",
    "/dev/null",
    "/dev/tty",
    f"{HOME}/.gitconfig",
    f"{HOME}/.git-credentials",
    f"{HOME}/.npmrc",
    f"{HOME}/.cargo/bin/cargo",
    f"{HOME}/.cargo/credentials.toml",
    f"{HOME}/.rustup/settings.toml",
    f"{HOME}/.npm/x",
    f"{HOME}/.ssh/id_rsa",
    f"{PROJECT}/.env",
    f"{PROJECT}/.git/hooks/pre-commit",
    f"{PROJECT}/main.c",
}
PRIVATE = ("/etc/ssl/private", "/etc/perl/secret.pm", "/etc/shadow", "/opt/closed")


class Fake(Files):
    """The machine of :data:`FILES`."""

    def __init__(self, root: bool = False, links: dict[str, str] | None = None) -> None:
        self._root, self._links = root, LINKS | (links or {})
        self._all = FILES | {d for f in FILES for d in map(str, Path(f).parents)}

    def real(self, path: str) -> str | None:
        path = self._links.get(path, path)
        return path if path in self._all or path in self._links.values() else None

    def names(self, directory: str) -> list[str]:
        return sorted(os.path.basename(p) for p in self._all if os.path.dirname(p) == directory and p != "/")

    def is_directory(self, path: str) -> bool:
        return path in self._all - FILES

    def root(self) -> bool:
        return self._root

    def private(self, top: str, *, beneath: bool) -> str | None:
        found = [p for p in PRIVATE if p == top or (beneath and p.startswith(top + "/"))]
        return found[0] if found else None


def at(level: Level, **more: bool) -> Base:
    return base(level, PLACES, Fake(), **more)


# --- VibeCoding's own table of what each level does ("Detailed Comparison" in its Security & Sandbox page)

ACTIONS = {
    "read project files": (f"{PROJECT}/main.c", Right.READ),
    "write project files": (f"{PROJECT}/main.c", Right.WRITE),
    "read system files": ("/usr/bin/git", Right.READ),
    "write system files": ("/usr/bin/git", Right.WRITE),
    "install packages": ("/usr/bin", Right.CREATE),
    "modify configuration": ("/etc/passwd", Right.WRITE),
    "access other projects": (f"{HOME}/work/other", Right.LIST),
    "docker operations": ("/run/docker.sock", Right.CONNECT),
}
ALLOWED = {
    Level.STANDARD: {"read project files", "write project files", "read system files"},
    Level.STRICT: {"read project files", "read system files"},
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("level", ALLOWED)
def test_the_table_of_operations(level: Level, action: str) -> None:
    path, right = ACTIONS[action]
    assert bool(at(level).policy.rights_on(path) & right) == (action in ALLOWED[level])


@pytest.mark.parametrize("level", ALLOWED)
def test_the_network_is_closed_unless_it_is_asked_for(level: Level) -> None:
    assert at(level).policy.network == ()
    opened = at(level, network=True).policy.network
    assert all(grant.anywhere for grant in opened)
    assert {(grant.action, grant.transport) for grant in opened} == {
        (action, transport) for action in NetworkAction for transport in (Transport.TCP, Transport.UDP)
    }


def test_none_is_no_policy() -> None:
    with pytest.raises(ValueError, match="confines nothing"):
        at(Level.NONE)
    assert set(MEANING) == set(Level)


@pytest.mark.parametrize("level", ALLOWED)
def test_nothing_is_changed_outside_of_ones_own_directories(level: Level) -> None:
    own = (PROJECT, TEMPORARY) if level is Level.STANDARD else (TEMPORARY,)
    for grant in at(level).policy.grants:
        if grant.path in own:
            assert grant.rights == WORKING
        elif grant.path.startswith("/dev"):
            assert not grant.rights & CHANGES & ~Right.WRITE
        else:
            assert not grant.rights & (CHANGES | Right.CONNECT | Right.IOCTL), grant


@pytest.mark.parametrize("level", ALLOWED)
@pytest.mark.parametrize("devices", [False, True])
def test_no_sensitive_object_is_granted_outside_of_the_project(level: Level, devices: bool) -> None:
    catalogue = Catalogue(HOME)
    policy = at(level, devices=devices).policy
    for path in FILES:
        if catalogue.match(path, Right.READ) and not path.startswith(PROJECT):
            assert policy.rights_on(path) == NO_RIGHT, path
    for entry in CATALOGUE:  # and none that does not exist yet
        if entry.pattern.startswith(("~/", "/etc/", "/run/", "/tmp/", "/var/")):
            path = entry.pattern.replace("~", HOME, 1).removesuffix("/**").replace("*", "x")
            rights = policy.rights_on(path)
            assert not rights or not catalogue.match(path, rights), path


def test_what_not_everybody_may_read_is_left_out_and_named() -> None:
    found = at(Level.STANDARD)
    rights = found.policy.rights_on
    assert rights("/etc/ssl/certs/ca.pem") == Right.READ | Right.LIST
    assert rights("/etc/ssl/private/key.pem") == NO_RIGHT
    assert rights("/etc/perl/secret.pm") == NO_RIGHT
    assert rights("/opt/tool/bin/tool") == READING
    assert rights("/opt/closed/key") == NO_RIGHT
    gaps = {gap.item: gap.reason for gap in found.gaps}
    assert gaps["/etc/perl"] == "left out: not everybody may read /etc/perl/secret.pm"
    assert gaps["/opt/closed"].startswith("left out")


def test_links_are_granted_at_their_targets() -> None:
    paths = {grant.path for grant in at(Level.STANDARD).policy.grants}
    assert not paths & set(LINKS)
    assert "/run/systemd/resolve/stub-resolv.conf" in paths
    assert "/usr/bin" not in paths  # /usr holds it


def test_patterns_in_etc() -> None:
    rights = at(Level.STANDARD).policy.rights_on
    assert rights("/etc/python3.11/sitecustomize.py") & Right.READ
    assert rights("/etc/sudoers") == NO_RIGHT


def test_a_tool_that_is_a_link_to_everything_is_left_out() -> None:
    for target in ("/", HOME, f"{HOME}/.ssh", "/etc"):
        found = base(Level.STANDARD, PLACES, Fake(links={f"{HOME}/go": target}))
        assert found.policy.rights_on(f"{HOME}/.ssh/id_rsa") == NO_RIGHT
        assert found.policy.rights_on("/etc/shadow") == NO_RIGHT


def test_toolchains_are_read_and_not_their_secrets() -> None:
    rights = at(Level.STANDARD).policy.rights_on
    assert rights(f"{HOME}/.cargo/bin/cargo") == READING
    assert rights(f"{HOME}/.rustup/settings.toml") == READING
    assert rights(f"{HOME}/.gitconfig") == Right.READ
    assert rights(f"{HOME}/.cargo/credentials.toml") == NO_RIGHT
    assert rights(f"{HOME}/.cargo") == NO_RIGHT


def test_what_the_project_opens_of_the_catalogue_is_said() -> None:
    standard = {gap.item for gap in at(Level.STANDARD).gaps}
    assert {f"{PROJECT}/.env", f"{PROJECT}/.git/hooks"} <= standard
    strict = {gap.item for gap in at(Level.STRICT).gaps}
    assert f"{PROJECT}/.env" in strict
    assert f"{PROJECT}/.git/hooks" not in strict  # nothing can be planted there


def test_root_is_told() -> None:
    assert "root" in {gap.item for gap in base(Level.STRICT, PLACES, Fake(root=True)).gaps}
    assert "root" not in {gap.item for gap in at(Level.STRICT).gaps}


def test_devices() -> None:
    rights = Right.READ | Right.WRITE | Right.TRUNCATE | Right.IOCTL
    assert at(Level.STANDARD).policy.rights_on("/dev/null") == rights
    assert at(Level.STANDARD).policy.rights_on("/dev/sda") == NO_RIGHT
    opened = at(Level.STANDARD, devices=True)
    assert opened.policy.rights_on("/dev/sda") & Right.WRITE
    assert "/dev" in {gap.item for gap in opened.gaps}


def test_grants_are_sorted_single_and_have_a_witness() -> None:
    grants = at(Level.STANDARD).policy.grants
    keys = [(grant.path, grant.scope) for grant in grants]
    assert keys == sorted(set(keys))
    assert {grant.witnesses[0].program for grant in grants} == {"level standard"}
    assert at(Level.STANDARD) == at(Level.STANDARD)


@pytest.mark.parametrize("project", ["/", "/home", HOME, "/tmp", "/etc", f"{HOME}/.ssh", f"{HOME}/.gnupg/x"])
def test_a_project_that_is_none_is_refused(project: str) -> None:
    with pytest.raises(UsageError, match="a level would open") as caught:
        check_project(Map(project, HOME, TEMPORARY))
    assert caught.value.remedy


def test_a_project_of_its_own_is_fine() -> None:
    check_project(PLACES)


def test_caches_are_private() -> None:
    assert environment(PLACES) == {
        "XDG_CACHE_HOME": f"{TEMPORARY}/cache",
        "npm_config_cache": f"{TEMPORARY}/cache/npm",
    }
    assert environment(PLACES._replace(temporary="")) == {}


def test_the_command_and_its_interpreters_are_granted(scratch: Path) -> None:
    script, interpreter = scratch / "script", scratch / "interpreter"
    interpreter.write_text("#!/bin/sh\n")
    script.write_text(f"#!{interpreter}\n")
    link = scratch / "link"
    link.symlink_to("script")
    system = Policy((Grant("/usr", Scope.TREE, READING, ()),))
    found = for_command(str(link), system)
    assert [grant.path for grant in found] == [str(interpreter), str(script)]
    assert {grant.rights for grant in found} == {Right.READ | Right.EXEC}
    assert for_command("/usr/bin/env", system) == ()


def test_the_real_machine_gives_a_policy(scratch: Path) -> None:
    project = scratch / "project"
    project.mkdir()
    found = base(Level.STANDARD, Map(str(project), str(scratch / "home"), ""))
    assert found.policy.rights_on("/usr/bin/env") & Right.EXEC
    assert found.policy.rights_on("/etc/shadow") == NO_RIGHT
    for grant in found.policy.grants:
        assert os.path.realpath(grant.path) == grant.path


def test_descriptions() -> None:
    assert describe(Level.STANDARD) == "level standard: project read/write, system read-only, no network"
    assert describe(Level.STRICT, network=True, devices=True).endswith("system read-only, any network, all devices")
    assert describe(Level.NONE, network=True) == "level none: nothing is confined"
