"""What the kernel opens to run a file, step by step: the file, its ``#!`` interpreter, that one's ELF loader. Pure."""

from typing import NamedTuple

from learner.diagnosis.case import Role
from learner.diagnosis.machine import Machine
from learner.interpreters import MAX_DEPTH, Via

_ROLES = {Via.SHEBANG: Role.SHEBANG, Via.LOADER: Role.LOADER}


class Step(NamedTuple):
    """``named``: as written where it is named; ``path``: without links; ``by``: the file that names it."""

    named: str
    path: str
    role: Role
    by: str
    links: tuple[tuple[str, str], ...]
    there: bool


def steps(machine: Machine, file: str) -> tuple[Step, ...]:
    """The objects that exec of ``file`` takes, in the kernel's order; the last may not be there."""
    found: list[Step] = []
    named, role, by = file, Role.ITSELF, ""
    for _ in range(MAX_DEPTH + 1):
        real = machine.real(named)
        there = bool(machine.mode(real))
        found.append(Step(named, real, role, by, machine.links(named), there))
        following = [i for i in machine.interpreters(real) if i.via in _ROLES] if there else []
        if not following or not following[0].path.startswith("/"):
            break
        named, role, by = following[0].path, _ROLES[following[0].via], named
    return tuple(found)


def describe(found: tuple[Step, ...]) -> tuple[str, ...]:
    """The steps in words, one phrase for each file and each link."""
    lines: list[str] = []
    for step in found:
        if step.role is Role.ITSELF:
            lines.append(f"exec {step.named}")
        elif step.role is Role.SHEBANG:
            lines.append(f"the first line of {step.by} names {step.named}")
        else:
            lines.append(f"{step.by} is an ELF file whose loader is {step.named}")
        lines += [f"{link} is a symlink to {text}" for link, text in step.links]
    return tuple(lines)
