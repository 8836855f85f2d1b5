"""Wrapper functions, defined and called by the real shells: nothing that a profile says gets to run."""

import os
import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from capability import require
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learner.shells import RESERVED, Shell, Wrapper, fits, script

OPTIONS = {Shell.BASH: ["--norc", "--noprofile"], Shell.ZSH: ["-f"], Shell.FISH: ["--no-config"]}
FLAVOURS = [
    (Shell.BASH, ""),
    (Shell.BASH, "shopt -s extglob\nshopt -s expand_aliases\nalias vibe='touch hacked'\nsbx() { touch hacked; }\n"),
    (Shell.ZSH, ""),
    (
        Shell.ZSH,
        "setopt rcquotes extendedglob kshglob interactivecomments aliases\nalias vibe='touch hacked'\n"
        "sbx() { touch hacked; }\n",
    ),
    (Shell.FISH, ""),
    (Shell.FISH, "function sbx; touch hacked; end\n"),
]


@pytest.fixture(params=FLAVOURS, ids=lambda flavour: f"{flavour[0]}{'-options' if flavour[1] else ''}")
def flavour(request: pytest.FixtureRequest) -> tuple[Shell, str]:
    shell, before = request.param
    require(shutil.which(shell), f"{shell} is not installed (Debian: apt install {shell})")
    return shell, before


def run(shell: Shell, text: bytes, place: Path) -> subprocess.CompletedProcess[bytes]:
    """Evaluate ``text`` where the only ``sbx`` notes the words that it is given, NUL-separated, in ``words``."""
    tool = place / "bin" / "sbx"
    if not tool.exists():
        tool.parent.mkdir()
        tool.write_text('#!/bin/sh\nprintf \'%s\\0\' "$@" >> "$NOTES"\n')
        tool.chmod(0o755)
    work = place / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (place / "words").unlink(missing_ok=True)
    file = place / "script"
    file.write_bytes(text)
    return subprocess.run(
        [shell.value, *OPTIONS[shell], str(file)],
        cwd=work,
        env={
            "PATH": f"{tool.parent}:/usr/bin:/bin",
            "HOME": str(place),
            "NOTES": str(place / "words"),
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def words(place: Path) -> list[bytes]:
    return (place / "words").read_bytes().split(b"\0")[:-1]


_names = st.text(string.ascii_letters + string.digits + "_@+.-", min_size=1, max_size=12).filter(fits)
_commands = (
    st.one_of(
        st.binary(min_size=1, max_size=30),
        st.sampled_from(
            [
                b"$(touch hacked)",
                b"`touch hacked`",
                b"'; touch hacked; '",
                b"\\'; touch hacked #",
                b'"; touch hacked; "',
                b"\ntouch hacked\n",
                b"''; touch hacked",
                b"'''",
                b"\\",
                b"\\\\'",
                b"!!",
                b"-- ; touch hacked",
                b"(touch hacked)",
                b"}; touch hacked; {",
                b"end; touch hacked",
                b"--help",
                b"\xff\xfe'\xff",
            ]
        ),
        st.text("'\\\"`$;\n(){}", min_size=1, max_size=12).map(str.encode),
    )
    .map(lambda raw: raw.replace(b"\0", b""))
    .filter(bool)
    .map(os.fsdecode)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_names, _commands, st.lists(st.sampled_from(["a b", "", "$x", "*", "-v", "'", "--"]), max_size=3))
def test_exactly_the_command_is_run(
    flavour: tuple[Shell, str], tmp_path: Path, name: str, command: str, arguments: list[str]
) -> None:
    shell, before = flavour
    defined = before.encode() + script(shell, [Wrapper(name, command)])
    quoted = " ".join("'" + a.replace("'", "'\"'\"'") + "'" for a in arguments)
    # A variable as the command's name: an alias of it, if any, is left alone.
    call = f"set n {name}; $n {quoted}\n" if shell is Shell.FISH else f"n='{name}'; $n {quoted}\n"
    done = run(shell, defined + call.encode(), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert words(tmp_path) == [b"run", name.encode(), b"--", os.fsencode(command), *map(str.encode, arguments)]
    assert os.listdir(tmp_path / "work") == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_names, _commands), max_size=5), st.lists(_names, max_size=3))
def test_defining_runs_nothing(
    flavour: tuple[Shell, str], tmp_path: Path, pairs: list[tuple[str, str]], remarks: list[str]
) -> None:
    shell, before = flavour
    wrappers = [Wrapper(name, command) for name, command in dict(pairs).items()]
    done = run(shell, before.encode() + script(shell, wrappers, remarks), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (tmp_path / "words").exists()
    assert os.listdir(tmp_path / "work") == []


def test_neither_recursion_nor_a_way_around_command(flavour: tuple[Shell, str], tmp_path: Path) -> None:
    shell, before = flavour
    bare = tmp_path / "bin" / "vibe"
    defined = before.encode() + script(shell, [Wrapper("vibe", "vibe")])
    run(shell, b"true\n", tmp_path)  # makes bin/
    bare.write_text('#!/bin/sh\necho bare "$@"\n')
    bare.chmod(0o755)
    done = run(shell, defined + b"command vibe -p x\n", tmp_path)
    assert (done.returncode, done.stdout) == (0, b"bare -p x\n")
    assert not (tmp_path / "words").exists()


def test_the_status_is_passed_on(flavour: tuple[Shell, str], tmp_path: Path) -> None:
    shell, before = flavour
    run(shell, b"true\n", tmp_path)
    (tmp_path / "bin" / "sbx").write_text("#!/bin/sh\nexit 7\n")
    last = "$status" if shell is Shell.FISH else "$?"
    call = "set n vibe; $n; exit " + last if shell is Shell.FISH else "n=vibe; $n; exit " + last
    done = run(shell, before.encode() + script(shell, [Wrapper("vibe", "vibe")]) + call.encode() + b"\n", tmp_path)
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("shell", "question"),
    [
        (Shell.BASH, "compgen -k; compgen -b"),
        (Shell.ZSH, "print -l ${(k)reswords} ${(k)builtins}"),
        (Shell.FISH, "builtin -n; printf '%s\\n' if else for while switch case end begin and or not function"),
    ],
)
def test_no_word_of_a_shell_fits(shell: Shell, question: str) -> None:
    require(shutil.which(shell), f"{shell} is not installed (Debian: apt install {shell})")
    said = subprocess.run([shell, *OPTIONS[shell], "-c", question], capture_output=True, text=True, check=True).stdout
    assert len(said.split()) > 40
    assert [word for word in said.split() if fits(word)] == []


@pytest.mark.parametrize(
    "name", ["sbx", "cd", "-x", "", "a b", "a;b", "a\n", "$x", "fish_prompt", "TRAPINT", "_x", "12"]
)
def test_names_that_do_not_fit(name: str) -> None:
    assert not fits(name)
    for shell in Shell:
        with pytest.raises(ValueError, match="no function"):
            script(shell, [Wrapper(name, "x")])


@pytest.mark.parametrize("name", ["vibe", "vibe@3.0", "claude-code", "g++", "7z", "python3.11", "R", "fisher"])
def test_names_that_fit(name: str) -> None:
    assert fits(name)


def test_the_reserved_words_are_names() -> None:
    assert all(re.fullmatch(r"[a-z_]+", word) for word in RESERVED)


def test_output_is_sorted() -> None:
    pairs = [Wrapper("b", "x"), Wrapper("a", "y")]
    assert script(Shell.BASH, pairs) == script(Shell.BASH, reversed(pairs))
