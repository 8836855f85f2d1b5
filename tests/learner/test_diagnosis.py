"""Ranking, harmless denials, fixes: what a diagnosis makes of causes."""

import errno

from accesses import HOME, PLACES, PROJECT, access, covered, policy, socket
from cases import DIRECTORY, FILE, PROGRAM, FakeMachine, case, good

from learner.access import Access, Kind
from learner.diagnosis.case import Case
from learner.diagnosis.diagnose import diagnose
from learner.diagnosis.effects import undone
from learner.diagnosis.fixes import absent, remedies
from learner.diagnosis.launching import describe, steps
from learner.diagnosis.machine import elf_machine, runs
from learner.interpreters import Interpreter, Via
from learner.policy import Grant, Policy, Right, Scope
from tracers.events import Operation

EACCES, ENOENT = errno.EACCES, errno.ENOENT
READ, EXEC = Operation.READ, Operation.EXEC
A, B, TOOL = f"{HOME}/a", f"{HOME}/b", f"{HOME}/bin/tool"
THERE = FakeMachine({A: FILE, B: FILE, TOOL: PROGRAM})


def with_recording(*accesses: Access, done: tuple[Access, ...], status: int = 1, **more: object) -> Case:
    """A run to compare with one that did ``done``, and the policy that follows from that."""
    made = case(*accesses, machine=THERE, status=status, recorded=good(*done), **more)  # type: ignore[arg-type]
    return made._replace(wanted=covered(*done))


def test_what_was_recorded_is_the_cause_and_the_rest_is_harmless() -> None:
    found = diagnose(
        with_recording(access(READ, A, outcome=EACCES), access(READ, B, outcome=EACCES), done=(access(READ, B),)),
        PLACES,
    )
    assert found.cause is not None
    assert B in found.cause.sentence
    assert [one.trouble.subject for one in found.harmless if one.trouble] == [A]
    assert [(g.path, g.scope, g.rights) for g in found.fix.grants] == [(B, Scope.FILE, Right.READ)]
    assert [(seen.path, seen.errno, seen.program) for seen in found.evidence] == [(B, EACCES, "vibe")]


def test_a_program_that_cannot_start_comes_before_a_file() -> None:
    found = diagnose(
        with_recording(
            access(READ, A, outcome=EACCES),
            access(EXEC, TOOL, outcome=EACCES),
            done=(access(READ, A), access(EXEC, TOOL)),
        ),
        PLACES,
    )
    assert found.cause is not None
    assert found.cause.rule == "program-hidden"
    assert [one.rule for one in found.also] == ["not-granted"]
    assert {g.path for g in found.fix.grants} == {A, TOOL}


def test_a_run_that_works_has_no_cause() -> None:
    found = diagnose(with_recording(access(READ, A), done=(access(READ, A),), status=0), PLACES)
    assert (found.works, found.cause, found.fix.grants_something) == (True, None, False)


def test_a_config_that_cannot_be_read_is_a_cause_though_the_run_ended_well() -> None:
    found = diagnose(with_recording(access(READ, A, outcome=EACCES), done=(access(READ, A),), status=0), PLACES)
    assert found.cause is not None
    assert not found.works


def test_what_is_installed_does_no_harm_where_the_run_ended_well() -> None:
    path = "/usr/share/locale/x"
    seen = with_recording(access(READ, path, outcome=EACCES), done=(access(READ, path),), status=0)
    found = diagnose(seen._replace(machine=FakeMachine({path: FILE})), PLACES)
    assert found.works
    assert len(found.harmless) == 1


def test_without_a_recording_the_last_refusal_counts() -> None:
    found = diagnose(case(access(READ, A, outcome=EACCES), access(READ, B, outcome=EACCES), machine=THERE), PLACES)
    assert found.cause is not None
    assert B in found.cause.sentence


def test_without_a_recording_and_without_failure_nothing_is_a_cause() -> None:
    found = diagnose(case(access(READ, A, outcome=EACCES), machine=THERE, status=0), PLACES)
    assert found.cause is None
    assert len(found.harmless) == 1


def test_nothing_refused_and_yet_it_failed() -> None:
    found = diagnose(case(access(READ, A), machine=THERE), PLACES)
    assert (found.works, found.cause) == (False, None)


def test_the_fix_of_a_script_admits_its_interpreter_and_loader() -> None:
    python, loader = "/opt/py/python3", "/lib/ld.so"
    machine = FakeMachine(
        {TOOL: PROGRAM, python: PROGRAM, loader: PROGRAM},
        names={TOOL: (Interpreter(Via.SHEBANG, python),), python: (Interpreter(Via.LOADER, loader),)},
    )
    found = diagnose(case(access(EXEC, TOOL, outcome=EACCES), machine=machine, launch_errno=EACCES), PLACES)
    fix = Policy(found.fix.grants)
    for path in (TOOL, python, loader):
        assert fix.rights_on(path) & Right.EXEC, path
    assert fix.rights_on(TOOL) & Right.READ
    assert describe(steps(machine, TOOL)) == (
        f"exec {TOOL}",
        f"the first line of {TOOL} names {python}",
        f"{python} is an ELF file whose loader is {loader}",
    )


def test_a_sensitive_object_is_not_granted_unasked() -> None:
    key = f"{HOME}/.ssh/id_ed25519"
    seen = case(access(READ, key, outcome=EACCES), machine=FakeMachine({key: FILE}))
    found = diagnose(seen, PLACES)
    assert not found.fix.grants_something
    assert any("--allow-sensitive" in said for said in remedies(found.fix))
    allowed = diagnose(seen, PLACES, frozenset({key}))
    assert [g.path for g in allowed.fix.grants] == [key]


def test_a_port_is_granted() -> None:
    found = diagnose(case(socket(Operation.CONNECT, "127.0.0.1", 4000, outcome=EACCES)), PLACES)
    assert [(n.host, n.port) for n in found.fix.network] == [("127.0.0.1", 4000)]


def test_plain_permissions_have_no_grant() -> None:
    machine = FakeMachine({A: FILE}, denied=(A,))
    found = diagnose(case(access(READ, A, outcome=EACCES), machine=machine), PLACES)
    assert found.cause is not None
    assert found.cause.rule == "permissions"
    assert not found.fix.grants_something


def test_a_refusal_that_the_recorded_run_had_too_is_none() -> None:
    denied = access(READ, A, outcome=EACCES)
    found = diagnose(with_recording(denied, done=(denied,), status=1), PLACES)
    assert found.cause is None


def test_absent_is_what_a_policy_lacks_of_another() -> None:
    whole = policy(("/usr", Scope.TREE, Right.READ), (A, Scope.FILE, Right.READ | Right.WRITE))
    less = policy(("/", Scope.TREE, Right.READ), (A, Scope.FILE, Right.LIST))
    assert absent(whole, whole) == ()
    assert absent(less, whole) == (Grant(A, Scope.FILE, Right.WRITE, ()),)
    assert absent(Policy(), whole) == whole.grants


def test_a_single_grant_does_not_stand_for_a_tree() -> None:
    tree = policy((PROJECT, Scope.TREE, Right.LIST))
    assert absent(policy((PROJECT, Scope.FILE, Right.LIST)), tree) == tree.grants


def test_what_was_not_done() -> None:
    made = access(Operation.CREATE, f"{PROJECT}/out", existed=False)
    temporary = access(Operation.CREATE, f"{PROJECT}/tmpab12cd34", existed=False)
    assert undone(case(recorded=good(made, temporary))) == (f"{PROJECT}/out",)
    assert undone(case(made, recorded=good(made))) == ()
    assert undone(case(made)) == ()


def test_hidden_directories_are_shown_by_what_is_granted_in_them() -> None:
    lib, file = f"{HOME}/lib", f"{HOME}/lib/x.js"
    machine = FakeMachine({lib: DIRECTORY, file: FILE})
    done = (access(Operation.STAT, lib, Kind.DIRECTORY), access(READ, file))
    seen = case(access(Operation.STAT, lib, Kind.ABSENT, ENOENT), machine=machine, hides=True, recorded=good(*done))
    found = diagnose(seen._replace(wanted=covered(*done)), PLACES)
    assert [g.path for g in found.fix.grants] == [file]


def test_who_started_whom() -> None:
    assert case().ancestry(2) == ("vibe", "git")
    assert case().ancestry(0) == ("sbx",)


def test_machines_of_elf_files() -> None:
    arm = b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\x00"
    assert elf_machine(arm) == "aarch64"
    assert elf_machine(b"#!/bin/sh") == elf_machine(b"\x7fELF") == ""
    assert runs("x86_64", "i386")
    assert not runs("x86_64", "aarch64")
    assert runs("x86_64", "")
