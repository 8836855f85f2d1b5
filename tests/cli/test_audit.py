"""``sbx audit`` from the command line: statuses, formats, --fix."""

import gzip
import json
import os
from pathlib import Path

import pytest
from audited import HARDENED_VIBE, HARDENED_VIBECODING
from samples import VARIABLES, VIBE

from learner.cli.main import main
from learner.profile import dumps
from learner.store import profile_path, trace_path, write_atomically
from learner.variables import Variables
from reports.audit_rules import with_rules

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "fixtures/golden"
BAD = """# my settings
enable_update_checks = false
enable_telemetry = false  # never

[tools.bash]
allowlist = [
    "ls",
    "git", # handy
]

[tools.grep]
permission = "ask"

[tools.read_file]
permission = "ask"

[[providers]]
name = "x"
api_base = "http://models.example/v1"
extra_headers = { Authorization = "Bearer 0123456789abcdef" }
"""


@pytest.fixture
def home(account: Variables, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VIBE_HOME", "VIBECODING_DIR", "VIBECODING_ALLOW_SHELL_CONFIG", "SSH_AUTH_SOCK", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    return Path(account.home)


def write(home: Path, name: str, text: str) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chmod(path, 0o600)
    return path


@pytest.mark.parametrize(
    ("form", "golden"), [("console", "audit.txt"), ("markdown", "audit.md"), ("sarif", "audit.sarif")]
)
def test_golden(form: str, golden: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(home, ".vibe/config.toml", BAD)
    write(home, "work/engine/.env", "TOKEN=x\n")
    (home / "work/engine/out").symlink_to("/etc/passwd")
    write(home, "work/engine/.vscode/tasks.json", "{}")
    assert main(["audit", "--project", ".", "--format", form]) == 1
    found = capsys.readouterr().out.replace(str(home), "/home/ada")
    assert found == (GOLDEN / golden).read_text()
    assert "0123456789abcdef" not in found


def test_hardened(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(home, ".vibe/config.toml", HARDENED_VIBE)
    write(home, ".vibecoding/settings.json", HARDENED_VIBECODING)
    assert main(["audit"]) == 0
    assert capsys.readouterr().out == "nothing found in 2 places\n"


def test_no_configuration_says_where_it_looked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 0
    assert "looked for $HOME/.vibe/config.toml" in capsys.readouterr().out


def test_fix_shows_asks_and_mends(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write(home, "dotfiles/config.toml", BAD)
    (home / ".vibe").mkdir()
    (home / ".vibe/config.toml").symlink_to(target)
    answers = iter([False, True])
    monkeypatch.setattr("click.confirm", lambda *_a, **_k: next(answers))
    assert main(["audit", "--fix"]) == 1
    assert target.read_text() == BAD
    shown = capsys.readouterr().err
    assert '-    "git", # handy' in shown
    assert "+enable_auto_update = false" in shown
    assert "which is edited" in shown
    assert "nothing was changed" in shown
    assert main(["audit", "--fix", "--format", "json"]) == 1
    left = json.loads(capsys.readouterr().out)
    assert [finding["rule"] for finding in left["findings"]] == ["vibe-secret"], "only you can replace a secret"
    mended = target.read_text()
    assert "enable_telemetry = false  # never" in mended
    assert "https://models.example" in mended
    assert (home / ".vibe/config.toml").is_symlink()
    write(home, "dotfiles/config.toml", mended.replace('"Bearer 0123456789abcdef"', '"$TOKEN"'))
    assert main(["audit"]) == 0


def test_fix_without_anybody_to_ask(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home, ".vibe/config.toml", BAD)
    monkeypatch.setattr("sys.stdin", open(os.devnull))
    assert main(["audit", "--fix"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert path.read_text() == BAD
    assert main(["audit", "--fix", "--yes"]) == 1
    assert path.read_text() != BAD


def test_bad_input(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(home, ".vibe/config.toml", "a = 1\nb = = 2\n")
    assert main(["audit"]) == 4
    assert f"{path}:2: not TOML" in capsys.readouterr().err
    assert main(["audit", str(home / "nothing.toml")]) == 4
    assert main(["audit", str(write(home, "x.yaml", ""))]) == 2
    assert main(["audit", "--yes"]) == 2
    assert main(["audit", "--approvals", "vibe", "--fix"]) == 2
    assert main(["audit", "--project", str(home / "nothing")]) == 4
    assert main(["audit", "--profile", "nothing"]) == 4


def test_read_only(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(home, ".vibe/config.toml", BAD)
    os.chmod(path, 0o444)
    assert main(["audit", "--fix", "--yes"]) == 3
    assert "is read-only" in capsys.readouterr().err
    assert path.read_text() == BAD


def test_a_file_by_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(home, "elsewhere/settings.json", HARDENED_VIBECODING.replace('"agent"', '"yolo"'))
    assert main(["audit", str(path), "--format", "json"]) == 1
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["rule"], finding["line"]) == ("vibecoding-yolo", 2)


def test_with_a_profile(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_atomically(profile_path("vibe"), dumps(VIBE, VARIABLES).encode())
    write(home, ".vibe/config.toml", BAD)
    assert main(["audit", "--profile", "vibe", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["profile"] == "vibe"
    assert {row["about"] for row in found["together"]} >= {"vibe-shell-allowlist", "secrets that may be read"}
    assert main(["audit", "--profile", "vibe"]) == 1
    assert "layers    vibe-shell-allowlist" in capsys.readouterr().out
    assert main(["audit", "--profile", "vibe", "--format", "markdown"]) == 1
    assert "## Brokers" in capsys.readouterr().out


def test_approvals(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--approvals", "mini"]) == 4
    data = gzip.decompress((ROOT / "fixtures/traces/mini-learned.jsonl.gz").read_bytes())
    write_atomically(trace_path("mini"), data)
    capsys.readouterr()
    assert main(["audit", "--approvals", "mini"]) == 0
    shown = capsys.readouterr().out
    assert 'allowlist = [\n    "cat",\n]' in shown
    assert "#   python3: it runs any code that it is given" in shown
    assert main(["audit", "--approvals", "mini", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["vibecoding"]["approval"]["bashWhitelist"] == ["cat "]
    assert main(["audit", "--approvals", "mini", "--format", "markdown"]) == 0
    assert "```toml" in capsys.readouterr().out


def test_the_docs_list_every_rule() -> None:
    page = (ROOT / "docs/audit.md").read_text()
    assert page == with_rules(page), "regenerate it with reports.audit_rules.with_rules"
