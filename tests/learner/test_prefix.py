import pytest

from learner.places import Map
from learner.prefix import prefix_of

PLACES = Map("/home/ada/work/engine", "/home/ada", "/tmp/sbx-1000")
AS_ROOT = Map("/root/work/engine", "/root")
IN_HOME = Map("/home/ada", "/home/ada")


@pytest.mark.parametrize(
    ("file", "prefix"),
    [
        ("/home/ada/.local/share/uv/tools/vibe/bin/vibe", "/home/ada/.local/share/uv/tools/vibe"),
        ("/home/ada/venv/bin/vibe", "/home/ada/venv"),
        ("/home/ada/work/engine/.venv/bin/vibe", "/home/ada/work/engine/.venv"),
        ("/home/ada/.cargo/bin/tool", "/home/ada/.cargo"),
        ("/opt/tool/bin/tool", "/opt/tool"),
        ("/nix/store/abc-tool-1/bin/tool", "/nix/store/abc-tool-1"),
        ("/opt/homebrew/Cellar/tool/1.2/bin/tool", "/opt/homebrew/Cellar/tool/1.2"),
        (
            "/home/ada/.nvm/versions/node/v22.1.0/lib/node_modules/@scope/tool/dist/cli.js",
            "/home/ada/.nvm/versions/node/v22.1.0",
        ),
        ("/home/ada/.npm-global/lib/node_modules/tool/cli.js", "/home/ada/.npm-global"),
        ("/home/ada/n/lib/node_modules/a/node_modules/b/bin/b.js", "/home/ada/n"),
        ("/home/ada/work/engine/node_modules/@scope/tool/cli.js", "/home/ada/work/engine/node_modules/@scope/tool"),
        ("/home/ada/work/engine/node_modules/tool/bin/x.js", "/home/ada/work/engine/node_modules/tool"),
        (
            "/home/ada/p/node_modules/.pnpm/tool@1/node_modules/tool/cli.js",
            "/home/ada/p/node_modules/.pnpm/tool@1/node_modules/tool",
        ),
        ("/home/ada/.local/share/tool/tool", "/home/ada/.local/share/tool"),
        ("/home/ada/.local/share/tool/versions/2.1.9", "/home/ada/.local/share/tool/versions"),
        ("/home/ada/.tool/local/run", "/home/ada/.tool/local"),
        ("/opt/vendor/tool/run", "/opt/vendor/tool"),
        ("/home/ada/downloads/tool/tool.sh", "/home/ada/downloads/tool"),
        ("/usr/lib/chromium/chromium", "/usr/lib/chromium"),
        ("/usr/share/code/bin/code", "/usr/share/code"),
    ],
)
def test_a_program_has_a_directory_of_its_own(file: str, prefix: str) -> None:
    assert prefix_of(file, PLACES) == prefix
    assert prefix_of(file.replace("/home/ada/", "/root/"), AS_ROOT) == prefix.replace("/home/ada/", "/root/")


@pytest.mark.parametrize(
    "file",
    [
        "/usr/bin/python3.11",
        "/usr/local/bin/tool",
        "/usr/local/lib/node_modules/@scope/tool/cli.js",
        "/lib/node_modules/tool/cli.js",
        "/bin/sh",
        "/sbin/init",
        "/opt/bin/tool",
        "/opt/tool",
        "/opt/homebrew/bin/tool",
        "/home/linuxbrew/.linuxbrew/bin/tool",
        "/home/ada/bin/tool",
        "/home/ada/.local/bin/tool",
        "/home/ada/.local/lib/node_modules/tool/cli.js",
        "/home/ada/tool",
        "/home/ada/downloads/run.sh",
        "/home/ada/.pyenv/shims/tool",
        "/home/ada/.local/share/run",
        "/home/ada/work/bin/tool",
        "/home/ada/work/engine/bin/tool",
        "/home/ada/work/engine/tools/run/run.py",
        "/home/ada/work/engine/main.py",
        "/home/bob/bin/tool",
        "/home/bob/.local/bin/tool",
        "/home/bin/tool",
        "/tmp/bin/tool",
        "/tmp/tool",
        "/usr/lib/jvm/run",
        "/srv/scripts/run.sh",
        "/usr/lib/node_modules/lib",
        "/home/ada/node_modules/tool",
        "/node",
        "",
        "vibe",
    ],
)
def test_no_directory_that_others_share_is_a_prefix(file: str) -> None:
    assert prefix_of(file, PLACES) == ""


def test_a_file_that_is_named_after_its_version_is_known_by_how_it_was_found() -> None:
    file = "/home/ada/.local/share/tool/versions/2.1.9"
    assert prefix_of(file, PLACES, "/home/ada/.local/bin/tool") == "/home/ada/.local/share/tool"


def test_the_interpreter_of_a_virtual_environment_is_a_link() -> None:
    assert prefix_of("/usr/bin/python3.11", PLACES, "/home/ada/venv/bin/python") == "/home/ada/venv"
    assert prefix_of("/usr/bin/python3.11", PLACES, "/usr/local/bin/python") == ""
    assert prefix_of("/srv/scripts/run.sh", PLACES, "/opt/scripts/bin/run") == "/opt/scripts"


def test_without_a_project_of_its_own_the_home_is_no_obstacle() -> None:
    assert prefix_of("/home/ada/.local/share/tool/tool", IN_HOME) == "/home/ada/.local/share/tool"
    assert prefix_of("/home/ada/venv/bin/tool", IN_HOME) == "/home/ada/venv"
    assert prefix_of("/home/ada/tool", IN_HOME) == ""
    assert prefix_of("/opt/tool/bin/tool", Map("/", "/")) == "/opt/tool"
