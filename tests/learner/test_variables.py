import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from samples import VARIABLES, hostile_names, paths

from learner import slugs
from learner.errors import UsageError
from learner.slugs import Form
from learner.variables import Variables, home_directory

XDG = (
    ("XDG_CACHE_HOME", "/home/ada/.cache"),
    ("XDG_CONFIG_HOME", "/home/ada/.config"),
    ("XDG_RUNTIME_DIR", "/run/user/1000"),
)
FULL = Variables("/home/ada/work/engine", "/home/ada", "/tmp/sbx-1000", "/opt/vibe", XDG, 1000)

_parts = hostile_names.filter(lambda name: name not in (".", ".."))


def _canonical(path: str) -> str:
    """As the kernel's bytes are decoded: surrogates that are one character together become it."""
    return os.fsdecode(os.fsencode(path))


_projects = st.lists(_parts, min_size=1, max_size=3).map(lambda parts: _canonical("/".join(["/home/ada/work", *parts])))
_marks = st.sampled_from(
    ["", "-", "--", "_", ".", "$", "${UID}", "$$", "${PROJECT:dashes}", "{", "}", "\\", "\udcff", "é"]
)


@st.composite
def _slugged(draw: st.DrawFn, project: str) -> str:
    """A file name that may hold the project."""
    form = draw(st.sampled_from(Form))
    length = draw(st.integers(8, form.digits)) if form.digits else 0
    return draw(_marks) + slugs.render(form, project, length) + draw(_marks)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[Variables, str]:
    """Variables of any kind, and a path that may have to do with them."""
    project = draw(_projects)
    uid = draw(st.sampled_from([-1, 0, 1000]))
    variables = FULL._replace(project=project, uid=uid, prefix=draw(st.sampled_from(["", "/opt/vibe", project + "/v"])))
    roots = [directory for _, directory in variables.items()]
    root = draw(st.sampled_from([*roots, "", "/tmp", "/run/user", "/var/tmp", "/usr/lib", "/home"]))
    name = st.one_of(_parts, _slugged(project), _marks.map(lambda mark: f"x{mark}{uid}"), st.just(str(uid)))
    parts = draw(st.lists(name.filter(lambda each: each not in ("", ".", "..")), max_size=4))
    return variables, _canonical("/".join([root, *parts]) or "/")


@given(paths)
def test_every_path_survives(path: str) -> None:
    text = VARIABLES.contract(path)
    assert text.isprintable() or " " in text or not text.isascii()
    assert "\n" not in text
    text.encode()
    assert VARIABLES.expand(text) == path


@given(_worlds())
def test_every_path_survives_under_all_variables(world: tuple[Variables, str]) -> None:
    variables, path = world
    text = variables.contract(path)
    assert "\n" not in text
    text.encode()
    assert variables.expand(text) == path
    assert variables.contract(variables.expand(text)) == text


@given(hostile_names)
def test_what_is_no_path_survives(name: str) -> None:
    assert VARIABLES.expand_any(VARIABLES.contract(name)) == name


def test_a_path_of_four_thousand_bytes_survives() -> None:
    path = VARIABLES.home + "/\udcff'\n" * 1000
    assert VARIABLES.expand(VARIABLES.contract(path)) == path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/home/ada", "$HOME"),
        ("/home/ada/x", "$HOME/x"),
        ("/home/adam/x", "/home/adam/x"),
        ("/home/ada/work/engine", "$PROJECT"),
        ("/home/ada/work/engine/a b", "$PROJECT/a b"),
        ("/home/ada/work/engine2", "$HOME/work/engine2"),
        ("/$HOME/x", "/$$HOME/x"),
        ("/home/ada/$x", "$HOME/$$x"),
        ("/", "/"),
        ("/a\nb", "/a\\x0ab"),
    ],
)
def test_the_longest_directory_becomes_its_variable(path: str, text: str) -> None:
    assert VARIABLES.contract(path) == text
    assert VARIABLES.expand(text) == path


def test_home_is_preferred_to_a_project_that_is_the_same_directory() -> None:
    assert Variables(project="/home/ada", home="/home/ada").contract("/home/ada/x") == "$HOME/x"


def test_the_root_directory_is_never_written_as_a_variable() -> None:
    at_root = Variables(project="/", home="/")
    assert at_root.contract("/etc/passwd") == "/etc/passwd"
    assert at_root.expand("$HOME/x") == "/x"
    assert at_root.expand("$PROJECT") == "/"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/opt/vibe/lib/x.py", "$PREFIX/lib/x.py"),
        ("/opt/vibe2", "/opt/vibe2"),
        ("/home/ada/.cache", "$XDG_CACHE_HOME"),
        ("/home/ada/.config/vibe/c.toml", "$XDG_CONFIG_HOME/vibe/c.toml"),
        ("/home/ada/.local/state/vibe", "$HOME/.local/state/vibe"),
        ("/run/user/1000/bus", "$XDG_RUNTIME_DIR/bus"),
        ("/run/user/10001/bus", "/run/user/10001/bus"),
        ("/tmp/tool-1000", "/tmp/tool-${UID}"),
        ("/tmp/tool-1000/1000/x-1000", "/tmp/tool-${UID}/1000/x-1000"),
        ("/var/tmp/tool_1000/x", "/var/tmp/tool_${UID}/x"),
        ("/dev/shm/tool.1000", "/dev/shm/tool.${UID}"),
        ("/tmp/tool-10001", "/tmp/tool-10001"),
        ("/tmp/tool-1000.sock", "/tmp/tool-1000.sock"),
        ("/tmp/tool1000", "/tmp/tool1000"),
        ("/usr/lib/tool-1000", "/usr/lib/tool-1000"),
        ("/home/ada/tmp/tool-1000", "$HOME/tmp/tool-1000"),
        (
            "/tmp/claude-1000/-home-ada-work-engine/x-${UID}",
            "/tmp/claude-${UID}/-${PROJECT:dashes}/x-$${UID}",
        ),
        (
            "/home/ada/.claude/projects/-home-ada-work-engine/a.jsonl",
            "$HOME/.claude/projects/-${PROJECT:dashes}/a.jsonl",
        ),
        ("/home/ada/.pi/--home-ada-work-engine--", "$HOME/.pi/--${PROJECT:dashes}--"),
        ("/home/ada/.cache/x/home%2Fada%2Fwork%2Fengine", "$XDG_CACHE_HOME/x/${PROJECT:percent}"),
        ("/home/ada/.vim/%home%ada%work%engine%main.c", "$HOME/.vim/%${PROJECT:path-percents}%main.c"),
        ("/home/ada/.gemini/tmp/" + slugs.render(Form.SHA256, FULL.project), "$HOME/.gemini/tmp/${PROJECT:sha256}"),
        ("/run/user/1000/x-" + slugs.render(Form.SHA1, FULL.project, 12), "$XDG_RUNTIME_DIR/x-${PROJECT:sha1:12}"),
        ("/tmp/sbx-1000/" + slugs.render(Form.MD5, FULL.project, 8), "$TMPDIR/${PROJECT:md5:8}"),
        ("/home/ada/work/engine/home-ada-work-engine", "$PROJECT/home-ada-work-engine"),
        ("/opt/vibe/home-ada-work-engine", "$PREFIX/home-ada-work-engine"),
        ("/usr/share/home-ada-work-engine", "/usr/share/home-ada-work-engine"),
    ],
)
def test_what_all_variables_stand_for(path: str, text: str) -> None:
    assert FULL.contract(path) == text
    assert FULL.expand(text) == path


def test_without_a_runtime_directory_the_user_is_written_within_the_path() -> None:
    variables = FULL._replace(xdg=())
    assert variables.contract("/run/user/1000/bus") == "/run/user/${UID}/bus"
    assert variables.contract("/home/ada/.cache/x") == "$HOME/.cache/x"
    assert variables._replace(uid=1).expand("/run/user/${UID}/bus") == "/run/user/1/bus"
    assert variables._replace(uid=-1).contract("/run/user/1000/bus") == "/run/user/1000/bus"


def test_a_project_whose_name_ends_like_the_user_id_is_still_the_project() -> None:
    variables = FULL._replace(project="/srv/engine-1000")
    assert variables.contract("/tmp/srv-engine-1000") == "/tmp/${PROJECT:dashes}"
    assert variables.contract("/tmp/srv-engine-1000-1000") == "/tmp/${PROJECT:dashes}-${UID}"


def test_of_variables_for_one_directory_the_home_comes_first_and_the_prefix_last() -> None:
    same = Variables("/d", "/d", "/d", "/d", (("XDG_DATA_HOME", "/d"),))
    assert same.contract("/d/x") == "$HOME/x"
    assert same._replace(home="/h", project="/p", temporary="").contract("/d/x") == "$XDG_DATA_HOME/x"
    assert same._replace(home="/h", project="/p", temporary="", xdg=()).contract("/d/x") == "$PREFIX/x"


_names = st.from_regex(r"[a-z]{2,5}[._][a-z]{2,4}--[A-Z]{2,4}", fullmatch=True)
"""Names in which each form of a slug is another."""


@st.composite
def _users(draw: st.DrawFn) -> Variables:
    user = draw(st.from_regex(r"[a-z]{1,8}", fullmatch=True))
    home = draw(st.sampled_from(["/home", "/Users", "/srv/homes"])) + "/" + user
    work = draw(st.sampled_from([home + "/work", "/srv/work", home]))
    uid = draw(st.integers(0, 70000))
    config = draw(st.sampled_from([f"{home}/.config", f"{home}/dot/config", "/srv/config"]))
    prefix = draw(st.sampled_from([f"{home}/.venvs/vibe", "/opt/vibe", f"{home}/.local/share/uv/tools/vibe"]))
    extra = draw(st.sampled_from(["", "é", "\udcff", "$", "\n", "{}"]))
    return Variables(
        project=f"{work}/{draw(_names)}{extra}",
        home=home,
        temporary=f"/tmp/sbx-{uid}",
        prefix=prefix,
        xdg=(("XDG_CONFIG_HOME", config), ("XDG_RUNTIME_DIR", f"/run/user/{uid}")),
        uid=uid,
    )


_ROOTS = (
    *("{v.home}/.x", "{v.project}/x", "{v.prefix}/x", "{v.temporary}/x", "{config}/x", "/run/user/{v.uid}/x", "/etc/x"),
    *("/tmp/tool-{v.uid}", "/var/tmp/tool.{v.uid}", "/tmp/x-{v.uid}/--{slug}--"),
    *("{v.home}/.x/-{slug}", "{config}/x/{slug}", "{v.home}/.y/x_{slug}.lock"),
)


@st.composite
def _things(draw: st.DrawFn, form: Form) -> tuple[str, int]:
    """A template of a path with a place for each value, and the length of the slug in it."""
    rest = "".join("/f" + part for part in draw(st.lists(_parts, max_size=2))).replace("{", "(").replace("}", ")")
    length = draw(st.one_of(st.just(0), st.integers(8, form.digits - 1))) if form.digits else 0
    root = draw(st.sampled_from(_ROOTS))
    return root + rest, length


def _path(template: str, variables: Variables, form: Form, length: int) -> str:
    slug = slugs.render(form, variables.project, length)
    return _canonical(template.format(v=variables, config=dict(variables.xdg)["XDG_CONFIG_HOME"], slug=slug))


@given(_users(), _users(), st.data())
def test_a_path_moves_to_another_project_user_home_and_installation(
    one: Variables, other: Variables, data: st.DataObject
) -> None:
    form = data.draw(st.sampled_from(Form))
    template, length = data.draw(_things(form))
    found = slugs.find(slugs.render(form, one.project, length), one.project)
    assert found is not None
    assume(found.form == form)  # where two forms are the same text, nothing tells which it was
    text = one.contract(_path(template, one, form, length))
    assert other.expand(text) == _path(template, other, form, length)
    assert other.contract(other.expand(text)) == text or "{slug}" in template


def test_a_name_that_is_the_projects_does_not_change_from_run_to_run() -> None:
    digest = slugs.render(Form.SHA256, FULL.project)
    for name in ("-home-ada-work-engine", digest, f"index-{digest[:12]}.db", f"{digest}.lock"):
        assert FULL.names_project(name)
        assert not FULL._replace(project="/home/ada/work/other").names_project(name)
    for name in ("engine", "deadbeef01", f"{digest}-deadbeef01", "-home-ada-work-engine-20261122", ""):
        assert not FULL.names_project(name)
    assert FULL._replace(project="/srv/2026/20261122").names_project("-srv-2026-20261122")


@pytest.mark.parametrize(
    ("variables", "text", "complaint"),
    [
        (VARIABLES, "$PREFIX/x", "unknown variable $PREFIX in '$PREFIX/x': the program is not installed"),
        (
            VARIABLES,
            "$XDG_RUNTIME_DIR/bus",
            "unknown variable $XDG_RUNTIME_DIR in '$XDG_RUNTIME_DIR/bus': this session",
        ),
        (VARIABLES, "$TMPDIR", "there are $HOME and $PROJECT; write $$ for a $"),
        (
            FULL,
            "$X",
            "there are $HOME, $PREFIX, $PROJECT, $TMPDIR, $XDG_CACHE_HOME, $XDG_CONFIG_HOME and $XDG_RUNTIME_DIR",
        ),
        (FULL, "$UID/x", "it is written ${UID}, in a name"),
        (
            VARIABLES,
            "/tmp/x-${UID}",
            "unknown variable ${UID} in '/tmp/x-${UID}': in a name there are ${PROJECT:dashes}, ",
        ),
        (FULL, "/tmp/${X}", "unknown variable ${X} in '/tmp/${X}': in a name there are ${UID}, ${PROJECT:dashes}, "),
        (FULL, "/tmp/${PROJECT}", "and ${PROJECT:md5}; write $$ for a $"),
        (FULL, "/tmp/${PROJECT:md4}", "unknown variable ${PROJECT:md4}"),
        (FULL, "/tmp/${PROJECT:dashes:8}", "unknown variable ${PROJECT:dashes:8}"),
        (FULL, "/tmp/${HOME:md5}", "unknown variable ${HOME:md5}"),
        (FULL, "/tmp/${}", "unknown variable ${}"),
        (FULL, "/tmp/${PROJECT:md5:7}", "md5 has 8 to 32 digits"),
        (FULL, "/tmp/${PROJECT:md5:33}", "md5 has 8 to 32 digits"),
        (FULL, "/tmp/${PROJECT:md5:}", "md5 has 8 to 32 digits"),
        (FULL, "/tmp/${PROJECT:md5:08}", "md5 has 8 to 32 digits"),
        (FULL, "/tmp/${PROJECT:md5", "lone $"),
        (FULL, "/tmp/${a/b}", "lone $"),
        (FULL, "/tmp/$$${UID", "lone $"),
        (FULL, "/tmp/${UID}\\x", "stray backslash"),
        (FULL._replace(project="/"), "$HOME/x/${PROJECT:dashes}", "is no name for the project /"),
        (FULL._replace(project="/"), "$HOME/x/.${PROJECT:dashes}/y", "is no name for the project /"),
    ],
)
def test_what_has_no_value_is_refused_and_what_there_is_is_told(
    variables: Variables, text: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        variables.expand(text)


def test_at_the_root_directory_a_separator_is_name_enough() -> None:
    assert FULL._replace(project="/").expand("$HOME/.claude/-${PROJECT:dashes}/x") == "/home/ada/.claude/-/x"


def test_bytes_on_both_sides_of_a_variable_are_joined() -> None:
    half = os.fsdecode("é".encode()[:1])
    moved = Variables("/" + os.fsdecode("é".encode()[1:]) + "/work", "/home/ada")
    assert moved.expand("$HOME/\\xc3${PROJECT:path-dashes}") == "/home/ada/é-work"
    assert half not in moved.expand("$HOME/\\xc3${PROJECT:path-dashes}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$CARGO_HOME/bin", "unknown variable $CARGO_HOME"),
        ("src/x", "relative path"),
        ("", "relative path"),
        ("$HOMEx", "unknown variable $HOMEx"),
        ("$HOME/../root", "holds '..'"),
        ("$HOME/\\x2e\\x2e/root", "holds '..'"),
        ("/a$b", "lone $"),
        ("/a\\b", "stray backslash"),
        ("/a\\x00", "NUL"),
    ],
)
def test_a_text_that_stands_for_no_path_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("$", r"\$").replace(".", r"\.")):
        VARIABLES.expand(text)


def test_a_hand_written_directory_may_end_in_a_slash() -> None:
    assert VARIABLES.expand("$HOME//a/./b/") == "/home/ada/a/b"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "work/engine/.git").mkdir(parents=True)
    (home / "work/engine/src").mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def test_the_project_is_the_top_of_the_git_repository(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(account / "work/engine/src")
    assert Variables.here()[:2] == Variables(str(account / "work/engine"), str(account))[:2]


def test_a_worktree_has_a_git_file(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / "tree/src").mkdir(parents=True)
    (account / "tree/.git").write_text("gitdir: elsewhere\n")
    monkeypatch.chdir(account / "tree/src")
    assert Variables.here().project == str(account / "tree")


def test_outside_a_repository_the_project_is_the_current_directory(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(account / "work")
    assert Variables.here().project == str(account / "work")


def test_a_repository_of_the_whole_home_is_no_project(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / ".git").mkdir()
    monkeypatch.chdir(account / "work")
    assert Variables.here().project == str(account / "work")
    (account.parent / ".git").mkdir()
    monkeypatch.chdir(account)
    assert Variables.here().project == str(account)


def test_links_to_the_project_and_home_are_resolved(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = account.parent / "link"
    link.symlink_to(account)
    monkeypatch.setenv("HOME", str(link))
    monkeypatch.chdir(link / "work/engine")
    assert Variables.here()[:2] == Variables(str(account / "work/engine"), str(account))[:2]


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_without_a_usable_home_the_account_tells(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", value)
    assert home_directory().startswith("/")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert home_directory() == "/"


def test_a_deleted_current_directory_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="the current directory has been deleted") as caught:
        Variables.here()
    assert caught.value.remedy


def test_base_directories_are_those_that_are_set_or_the_specified(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(account / "work")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert Variables.here().xdg == (
        ("XDG_CACHE_HOME", f"{account}/.cache"),
        ("XDG_CONFIG_HOME", f"{account}/.config"),
        ("XDG_DATA_HOME", f"{account}/.local/share"),
        ("XDG_STATE_HOME", f"{account}/.local/state"),
    )
    assert Variables.here().uid == 2**31 - 7
    (account / "dot").mkdir()
    (account / "link").symlink_to("dot")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{account}/link/")
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{account}/run")
    found = dict(Variables.here().xdg)
    assert found["XDG_CACHE_HOME"] == f"{account}/.cache"
    assert found["XDG_CONFIG_HOME"] == f"{account}/dot"
    assert found["XDG_DATA_HOME"] == f"{account}/.local/share"
    assert found["XDG_RUNTIME_DIR"] == f"{account}/run"


def test_the_runtime_directory_of_the_session_is_found_unset(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(account)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    exists = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: path == f"/run/user/{os.getuid()}" or exists(path))
    assert dict(Variables.here().xdg)["XDG_RUNTIME_DIR"] == f"/run/user/{os.getuid()}"


def test_the_prefix_is_that_of_the_program_behind_the_link(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(account / "work/engine")
    installed = account / ".local/share/uv/tools/vibe"
    (installed / "bin").mkdir(parents=True)
    (installed / "bin/vibe").write_text("#!/bin/sh\n")
    (installed / "bin/python").symlink_to("/usr/bin/env")
    (account / ".local/bin").mkdir()
    (account / ".local/bin/vibe").symlink_to(installed / "bin/vibe")
    (account / "tools").symlink_to(installed)
    assert Variables.here().prefix == ""
    assert Variables.here(f"{account}/.local/bin/vibe").prefix == str(installed)
    assert Variables.here().with_program(str(installed / "bin/vibe")).prefix == str(installed)
    assert Variables.here(f"{account}/tools/bin/python").prefix == str(installed)
    assert Variables.here("/usr/bin/env").prefix == ""


def test_starting_up_needs_neither_hashes_nor_the_access_graph() -> None:
    code = (
        "import sys; from learner.variables import Variables; v = Variables.here(sys.executable);"
        "v.expand('$HOME/x'); v.contract(v.home + '/.x/y'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"hashlib", "networkx", "learner.volatile", "learner.access", "urllib.parse"} & set(loaded)
