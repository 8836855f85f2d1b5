"""Every rule about Vibe: a sample that breaks it, on the line that it names, and the hardened one that does not."""

import os
from pathlib import Path

import pytest
from audited import HARDENED_VIBE, Account

from learner.audit import vibe
from learner.audit.denylist import READING
from learner.errors import InputFileError

CONFIG = ".vibe/config.toml"
LINES = HARDENED_VIBE.count("\n")

# rule, what is added to the hardened file (or replaced in it), the line of the finding
BAD = (
    ("vibe-bypass", ("enable_telemetry = false", "enable_telemetry = false\nbypass_tool_permissions = true"), 5),
    ("vibe-bypass", ("enable_telemetry = false", "enable_telemetry = false\nauto_approve = true"), 5),
    ("vibe-bypass", ("enable_telemetry = false", 'enable_telemetry = false\ndefault_agent = "auto-approve"'), 5),
    ("vibe-shell-always", ('[tools.bash]\npermission = "ask"', '[tools.bash]\npermission = "always"'), 13),
    ("vibe-shell-allowlist", ('"git status"]', '"git status", "git"]'), 14),
    ("vibe-shell-allowlist", ('"git status"]', '"find"]'), 14),
    ("vibe-shell-allowlist", ('"git status"]', '"find . -exec"]'), 14),
    ("vibe-shell-allowlist", ('"git status"]', '"npm run"]'), 14),
    ("vibe-shell-allowlist", ('"git status"]', '"*"]'), 14),
    ("vibe-shell-allowlist", ('"git status"]', '""]'), 14),
    ("vibe-read-open", ('[tools.read_file]\npermission = "ask"', "[tools.read_file]"), 6),
    ("vibe-read-open", ('[tools.read_file]\npermission = "ask"', '[tools.read_file]\npermission = "always"'), 7),
    (
        "vibe-read-open",
        ('[tools.read_file]\npermission = "ask"', '[tools.read_file]\npermission="ask"\nallowlist=["*"]'),
        7,
    ),
    ("vibe-write-open", ("[tools.bash]", '[tools.write_file]\npermission = "always"\n[tools.bash]'), 13),
    ("vibe-write-open", ("[tools.bash]", '[tools.edit]\npermission = "ALWAYS"\n[tools.bash]'), 13),
    ("vibe-write-open", ("[tools.bash]", '[tools.search_replace]\npermission = "always"\n[tools.bash]'), 13),
    ("vibe-write-open", ("enable_telemetry = false", 'enable_telemetry = false\ndefault_agent = "accept-edits"'), 7),
    ("vibe-grep-always", ('[tools.grep]\npermission = "ask"', "[tools.grep]"), 9),
    ("vibe-fetch-always", ("[tools.bash]", '[tools.web_fetch]\npermission = "always"\n[tools.bash]'), 13),
    ("vibe-auto-update", ("enable_auto_update = false", "enable_auto_update = true"), 2),
    ("vibe-auto-update", ("enable_auto_update = false", "# nothing said"), 1),
    ("vibe-update-checks", ("enable_update_checks = false", "enable_update_checks = true"), 3),
    ("vibe-telemetry", ("enable_telemetry = false", "enable_telemetry = true"), 4),
    ("vibe-secret", ("api_key_env_var", 'api_key = "hunter2hunter2"\napi_key_env_var'), 19),
    ("vibe-secret", ("api_key_env_var", 'note = "ghp_0123456789abcdefghij0123456789abcdef"\napi_key_env_var'), 19),
    ("vibe-plain-http", ("http://127.0.0.1:8080", "http://10.0.0.1:8080"), 18),
    ("vibe-mcp-command", ("[[prov", '[[mcp_servers]]\nname="a"\ncommand="bash -c x"\n[[prov'), 18),
    ("vibe-mcp-command", ("[[prov", '[[mcp_servers]]\nname="a"\ncommand=["npx", "-y", "server"]\n[[prov'), 18),
    ("vibe-mcp-command", ("[[prov", '[[mcp_servers]]\nname="a"\ncommand="mcp-fs"\nargs=["/"]\n[[prov'), 18),
)


@pytest.mark.parametrize(("rule", "change", "line"), BAD, ids=[f"{n}-{b[0]}" for n, b in enumerate(BAD)])
def test_a_bad_sample_is_found_where_it_stands(rule: str, change: tuple[str, str], line: int, tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert change[0] in HARDENED_VIBE
    account.write(CONFIG, HARDENED_VIBE.replace(*change))
    assert account.rules() == {rule: line}


def test_a_hardened_sample_has_no_findings(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write(CONFIG, HARDENED_VIBE)
    account.write(".vibe/trusted_folders.toml", f'trusted = ["{account.project}"]\n')
    account.write(".vibe/.env", "MISTRAL_API_KEY=x\n")
    account.write(".vibe/agents/careful.toml", 'display_name = "Careful"\n[tools.bash]\npermission = "ask"\n')
    account.write("work/engine/.vibe/config.toml", 'active_model = "devstral"\n')
    report = account.audit()
    assert report.findings == ()
    assert len(report.audited) == 5


def test_every_rule_has_a_bad_sample() -> None:
    elsewhere = {"vibe-trusted-home", "vibe-env-readable"}
    known = {rule.id for rule in (*vibe.RULES, *vibe.TRUST, *vibe.ENVIRONMENT)}
    assert known == {rule for rule, _, _ in BAD} | elsewhere


@pytest.mark.parametrize("folder", ["/", "~", "HOME", "/home/.."])
def test_trusting_the_home_is_found_and_mended(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path)
    monkeypatch.setenv("HOME", str(account.home))
    named = str(account.home) if folder == "HOME" else folder
    path = account.write(".vibe/trusted_folders.toml", f'trusted = [\n  "/srv/x",\n  "{named}",\n]\nuntrusted = []\n')
    assert account.rules() == {"vibe-trusted-home": 3}
    account.fix()
    assert account.rules() == {}
    assert path.read_text() == 'trusted = [\n  "/srv/x",\n]\nuntrusted = []\n'


def test_a_readable_env_is_found_and_mended(tmp_path: Path) -> None:
    account = Account(tmp_path)
    path = account.write(".vibe/.env", "MISTRAL_API_KEY=x\n", 0o644)
    assert account.rules() == {"vibe-env-readable": 0}
    account.fix()
    assert path.stat().st_mode & 0o777 == 0o600
    assert account.rules() == {}


def test_a_full_denylist_lets_a_tool_read_unasked(tmp_path: Path) -> None:
    account = Account(tmp_path)
    patterns = ", ".join(f'"{pattern}"' for pattern in READING)
    mended = HARDENED_VIBE.replace(
        '[tools.read_file]\npermission = "ask"', f"[tools.read_file]\ndenylist = [{patterns}]"
    )
    account.write(CONFIG, mended)
    assert account.rules() == {}
    account.write(CONFIG, mended.replace('"**/.env", ', ""))
    [finding] = account.audit().findings
    assert "lacks **/.env [" not in finding.detail and finding.detail.endswith("lacks **/.env")


def test_a_tool_that_is_not_given_needs_no_question(tmp_path: Path) -> None:
    account = Account(tmp_path)
    opened = HARDENED_VIBE.replace('[tools.bash]\npermission = "ask"', '[tools.bash]\npermission = "always"')
    account.write(CONFIG, 'disabled_tools = ["ba*"]\n' + opened)
    assert account.rules() == {}
    account.write(CONFIG, 'enabled_tools = ["re:read.*", "grep"]\n' + opened)
    assert account.rules() == {}
    account.write(CONFIG, 'enabled_tools = ["bash"]\n' + opened)
    assert set(account.rules()) == {"vibe-shell-always"}


def test_asking_nobody_from_outside_of_the_file_is_found(tmp_path: Path) -> None:
    account = Account(tmp_path, VIBE_BYPASS_TOOL_PERMISSIONS="true")
    account.write(CONFIG, HARDENED_VIBE)
    account.write(".zshrc", "# alias v='vibe --yolo'\nalias v='vibe --auto-approve'\nalias w='vibe --resume'\n")
    account.write(".bashrc", "export VIBE_BYPASS_TOOL_PERMISSIONS=false\n")
    found = {(f.rule, os.path.basename(f.path), f.line) for f in account.audit().findings}
    assert found == {("vibe-bypass", "config.toml", 0), ("vibe-bypass", ".zshrc", 2)}
    assert account.audit().edits == ()


def test_find_is_allowed_where_vibe_guards_it(tmp_path: Path) -> None:
    account = Account(tmp_path)
    allowed = HARDENED_VIBE.replace('"git status"]', '"find"]')
    account.write(CONFIG, 'applied_migrations = ["bash_read_only_defaults_v1"]\n' + allowed)
    assert account.rules() == {}
    account.write(CONFIG, 'applied_migrations = ["another"]\n' + allowed)
    assert account.rules() == {"vibe-shell-allowlist": 15}


def test_an_overlay_is_only_what_it_says(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write(CONFIG, HARDENED_VIBE)
    overlay = account.write("work/engine/.vibe/config.toml", '[tools.read_file]\npermission = "always"\n')
    agent = account.write(".vibe/agents/free.toml", 'display_name = "Free"\nbypass_tool_permissions = true\n')
    found = {(f.rule, f.path, f.line) for f in account.audit().findings}
    assert found == {("vibe-read-open", str(overlay), 2), ("vibe-bypass", str(agent), 2)}
    patterns = ", ".join(f'"{pattern}"' for pattern in READING)
    account.write(CONFIG, HARDENED_VIBE.replace("[tools.read_file]", f"[tools.read_file]\ndenylist = [{patterns}]"))
    assert {f.rule for f in account.audit().findings} == {"vibe-bypass"}, "the user's denylist holds for the project"


def test_vibe_home_is_followed(tmp_path: Path) -> None:
    account = Account(tmp_path, VIBE_HOME=str(tmp_path / "elsewhere"))
    path = tmp_path / "elsewhere/config.toml"
    path.parent.mkdir()
    path.write_text(HARDENED_VIBE.replace("enable_telemetry = false", "enable_telemetry = true"))
    assert account.rules() == {"vibe-telemetry": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", ":2: not TOML"),
        ("a = 1\n[x\n", ":2: not TOML"),
        ("a = 1\na = 2\n", ": not TOML"),
    ],
)
def test_malformed_toml_names_the_line(text: str, message: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    path = account.write(CONFIG, text)
    with pytest.raises(InputFileError) as problem:
        account.audit()
    assert str(path) in str(problem.value)
    assert message in str(problem.value)


@pytest.mark.parametrize(
    "text", ["tools = 3\n", "tools = {bash = 1}\nproviders = 1\n", 'mcp_servers = ["x"]\ntrusted = 1\n']
)
def test_strange_types_are_no_crash(text: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write(CONFIG, text)
    account.write(".vibe/trusted_folders.toml", text)
    assert "vibe-telemetry" in account.rules()


def test_the_audit_writes_nothing(tmp_path: Path) -> None:
    account = Account(tmp_path)
    path = account.write(CONFIG, "a = 1\n")
    before = os.stat(path)
    assert account.audit().findings
    assert os.stat(path) == before
