"""Why a program could not be started."""

import errno
import os
import stat

from learner.access import ELIBBAD, Access
from learner.diagnosis.case import Case, Role, Severity, Trouble
from learner.diagnosis.launching import describe, steps
from learner.diagnosis.machine import elf_machine, runs
from learner.diagnosis.rule import Rule, Said, how, name
from learner.interpreters import Interpreter, Via
from tracers.events import Operation

_INSTALL = "install it, or correct the name"


def _is_exec(trouble: Trouble) -> bool:
    return trouble.access.operation is Operation.EXEC and trouble.role is not Role.LINK


def _file(trouble: Trouble) -> str:
    return name(trouble.access.object)


def _way(case: Case, trouble: Trouble) -> tuple[str, ...]:
    return describe(steps(case.machine, trouble.access.object))


def _env_split(case: Case, trouble: Trouble) -> Said | None:
    file = os.path.basename(trouble.access.object)
    if not _is_exec(trouble) or trouble.exists or " " not in file:
        return None
    scripts = (trouble.access.object, *(each.object for each in case.accesses if _ran(each)))
    if trouble.program != "env" and not any(" " in one.path for script in scripts for one in _env_of(case, script)):
        return None
    return Said(
        f'env was asked for a program called "{name(file)}": the kernel passes all words of a #! line as one',
        "write `#!/usr/bin/env -S …` in the first line of the script",
    )


def _ran(access: Access) -> bool:
    return access.operation is Operation.EXEC and not access.outcome


def _env_of(case: Case, script: str) -> list[Interpreter]:
    """What env is asked for by the first line of ``script``."""
    return [i for i in case.machine.interpreters(script) if i.via is Via.ENV]


def _dangling(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.exists or not trouble.links:
        return None
    link, text = trouble.links[-1]
    what = "it" if trouble.role is Role.ITSELF else f"its {trouble.role}"
    sentence = f"{_file(trouble)} cannot run: {what} is a symlink, {name(link)}, to {name(text)}, which does not exist"
    return Said(sentence, f"make {name(link)} lead to something again", _way(case, trouble))


def _shebang_missing(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.role is not Role.SHEBANG or trouble.exists:
        return None
    carriage = trouble.subject.endswith("\r")
    remedy = "save the script with Unix line ends" if carriage else "install it, or correct the first line"
    why = " (the line ends in a carriage return)" if carriage else ""
    sentence = f"{_file(trouble)} is a script whose interpreter {name(trouble.subject)} does not exist{why}"
    return Said(sentence, remedy, _way(case, trouble))


def _shebang_hidden(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.role is not Role.SHEBANG or not trouble.refused:
        return None
    sentence = f"{_file(trouble)} is a script, and its interpreter {name(trouble.subject)} is {how(case, trouble)}"
    return Said(sentence, "", _way(case, trouble))


def _loader_missing(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.role is not Role.LOADER or trouble.exists:
        return None
    sentence = f"{_file(trouble)} needs the ELF loader {name(trouble.subject)}, which does not exist on this machine"
    return Said(sentence, "it was built for another C library or machine: install one that fits", _way(case, trouble))


def _loader_hidden(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.role is not Role.LOADER or not trouble.refused:
        return None
    sentence = f"{_file(trouble)} needs the ELF loader {name(trouble.subject)}, which is {how(case, trouble)}"
    return Said(sentence, "", _way(case, trouble))


def _link_hidden(case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation is not Operation.EXEC or trouble.role is not Role.LINK:
        return None
    text = next((text for link, text in trouble.links if link == trouble.subject), "its target")
    sentence = f"{_file(trouble)} needs the symlink {name(trouble.subject)}, which is {how(case, trouble)}"
    return Said(f"{sentence}, though {name(text)} that it leads to is granted", "", _way(case, trouble))


def _link_target(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or not trouble.refused or not trouble.links:
        return None
    link = trouble.links[0][0]
    sentence = f"{name(link)} is a symlink to {name(trouble.subject)}, which is {how(case, trouble)}"
    return Said(sentence, "", _way(case, trouble))


def _not_granted(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or not trouble.refused:
        return None
    given = case.policy.rights_on(trouble.subject)
    why = "may be read, but not run" if given else f"is {how(case, trouble)}"
    return Said(f"the program {name(trouble.subject)} exists, but {why}", "", _way(case, trouble))


def _not_found(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.exists or trouble.access.outcome not in (errno.ENOENT, errno.ENOTDIR):
        return None
    file = os.path.basename(trouble.access.object)
    return Said(f"{name(file)} is in no directory of PATH: it is not there outside of the sandbox either", _INSTALL)


def _format(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.access.outcome not in (errno.ENOEXEC, ELIBBAD, errno.EINVAL):
        return None
    built = elf_machine(case.machine.head(trouble.subject))
    if not runs(case.machine.name, built):
        sentence = f"{_file(trouble)} is built for {built}, and this machine is {case.machine.name}"
        return Said(sentence, "install the one for this machine")
    sentence = f"{_file(trouble)} is no program: it begins neither as an ELF file nor with #!"
    return Said(sentence, "give its interpreter first, or a #! line")


def _arguments(_case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.access.outcome != errno.E2BIG:
        return None
    return Said(f"the arguments and environment of {_file(trouble)} are too long", "pass them in a file, or in parts")


def _no_exec_mount(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.access.outcome != errno.EACCES or not trouble.exists:
        return None
    mount = case.machine.mount(trouble.subject)
    if not mount.no_exec:
        return None
    return Said(
        f"{name(trouble.subject)} lies on {name(mount.at)}, which is mounted noexec",
        "no grant can help: move it to another file system, or mount that one with exec",
    )


def _not_executable(case: Case, trouble: Trouble) -> Said | None:
    if not _is_exec(trouble) or trouble.access.outcome != errno.EACCES or not trouble.exists:
        return None
    if stat.S_ISDIR(case.machine.mode(trouble.subject)):
        return Said(f"{name(trouble.subject)} is a directory", "give the program in it")
    if case.machine.mode(trouble.subject) & 0o111:
        return None
    remedy = f"chmod +x {name(trouble.subject)}: no grant can help"
    return Said(f"{name(trouble.subject)} is not executable: no x in its mode", remedy)


def _other_program(case: Case, trouble: Trouble) -> Said | None:
    """A search along PATH that found another program than the recorded run did."""
    path = trouble.access.object
    searching = _is_exec(trouble) or trouble.access.operation is Operation.STAT
    if not searching or not trouble.recorded or not trouble.refused or not case.good:
        return None
    if not any(a.operation is Operation.EXEC and a.object in (path, trouble.subject) for a in case.good.accesses):
        return None
    for other in case.accesses:
        same = os.path.basename(other.object) == os.path.basename(path) and other.object != path
        if same and other.operation is Operation.EXEC and not other.outcome and " " not in other.call:
            sentence = f"{name(path)} is {how(case, trouble)}, so {name(other.object)} ran in its place"
            return Said(sentence, "", _way(case, trouble))
    return None


RULES = (
    Rule("other-program", "a different program ran, because PATH's first was hidden", Severity.FATAL, _other_program),
    Rule("env-split", "env is given several words as one name (#!/usr/bin/env -S)", Severity.FATAL, _env_split),
    Rule("dangling-link", "the program or its interpreter is a dangling symlink", Severity.FATAL, _dangling),
    Rule("shebang-missing", "the #! interpreter does not exist", Severity.FATAL, _shebang_missing),
    Rule("shebang-hidden", "the #! interpreter is not granted", Severity.FATAL, _shebang_hidden),
    Rule("loader-missing", "the ELF loader does not exist", Severity.FATAL, _loader_missing),
    Rule("loader-hidden", "the ELF loader is not granted", Severity.FATAL, _loader_hidden),
    Rule(
        "exec-link-hidden", "a symlink on the way to a program or interpreter is hidden", Severity.FATAL, _link_hidden
    ),
    Rule("program-link", "the program is a symlink whose target is not granted", Severity.FATAL, _link_target),
    Rule("program-hidden", "the program exists, but is not granted", Severity.FATAL, _not_granted),
    Rule("format", "wrong architecture, or no program at all (ENOEXEC)", Severity.FATAL, _format),
    Rule("arguments", "arguments and environment are too long (E2BIG)", Severity.FATAL, _arguments),
    Rule("noexec", "the program lies on a file system mounted noexec", Severity.FATAL, _no_exec_mount),
    Rule("not-executable", "the program has no execute permission", Severity.FATAL, _not_executable),
    Rule("not-found", "the program is not on PATH, nor anywhere", Severity.FATAL, _not_found),
)
