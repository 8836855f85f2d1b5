"""Every rule about VibeCoding: a sample that breaks it, on the line that it names, and the hardened one."""

from pathlib import Path

import pytest
from audited import HARDENED_GATEWAY, HARDENED_VIBECODING, Account

from learner.audit import vibecoding
from learner.errors import InputFileError

SETTINGS, GATEWAY, ALLOW = ".vibecoding/settings.json", ".vibecoding/gateway.json", "work/engine/.vibe/allow.json"

BAD = (
    ("vibecoding-sandbox-off", SETTINGS, ('"enabled": true', '"enabled": false'), 4),
    ("vibecoding-sandbox-off", SETTINGS, ('"enabled": true, ', ""), 4),
    ("vibecoding-level-none", SETTINGS, ('"standard"', '"none"'), 4),
    ("vibecoding-network", SETTINGS, ('"allowNetwork": false', '"allowNetwork": true'), 4),
    ("vibecoding-devices", SETTINGS, ('"allowNetwork": false', '"allowDevices": true'), 4),
    ("vibecoding-binds", SETTINGS, ('"allowNetwork": false', '"extraBinds": ["~/.ssh:/mnt"]'), 4),
    ("vibecoding-binds", SETTINGS, ('"allowNetwork": false', '"extraBinds": ["/:/mnt"]'), 4),
    ("vibecoding-binds", SETTINGS, ('"allowNetwork": false', '"extraBinds": ["/srv/data"]'), 4),
    ("vibecoding-binds", SETTINGS, ('"allowNetwork": false', '"extraBinds": ["relative"]'), 4),
    ("vibecoding-yolo", SETTINGS, ('"agent"', '"yolo"'), 2),
    ("vibecoding-whitelist", SETTINGS, ('"git status"', '"git "'), 5),
    ("vibecoding-whitelist", SETTINGS, ('"bashWhitelist": ["ls ", "git status"], ', ""), 5),
    ("vibecoding-shell-config", SETTINGS, ("${DEEPSEEK_API_KEY}", "!pass show deepseek"), 3),
    ("vibecoding-secret", SETTINGS, ("${DEEPSEEK_API_KEY}", "sk-0123456789abcdef0123"), 3),
    ("vibecoding-plain-http", SETTINGS, ("https://", "http://"), 3),
    ("vibecoding-query-token", SETTINGS, ("deepseek.com", "deepseek.com/?token=x"), 3),
    ("vibecoding-gateway-open", GATEWAY, ("127.0.0.1:8080", ":8080"), 1),
    ("vibecoding-gateway-open", GATEWAY, ("127.0.0.1:8080", "0.0.0.0:8080"), 1),
    (
        "vibecoding-gateway-cors",
        GATEWAY,
        ('{"listen"', '{"cors": {"enabled": true, "allowOrigins": ["*"]}, "listen"'),
        1,
    ),
    ("vibecoding-allow-prefix", ALLOW, ('"ls "', '"make "'), 1),
)
SAMPLES = {SETTINGS: HARDENED_VIBECODING, GATEWAY: HARDENED_GATEWAY, ALLOW: '{"bashPrefixes": ["ls "]}\n'}


@pytest.mark.parametrize(("rule", "name", "change", "line"), BAD, ids=[f"{n}-{b[0]}" for n, b in enumerate(BAD)])
def test_a_bad_sample_is_found_and_mended(
    rule: str, name: str, change: tuple[str, str], line: int, tmp_path: Path
) -> None:
    account = Account(tmp_path)
    text = SAMPLES[name]
    assert change[0] in text
    if rule == "vibecoding-gateway-open":
        text = text.replace('"enabled": true', '"enabled": false')
        account.write(name, text)
        assert account.rules() == {}, "loopback is nobody else's"
    account.write(name, text.replace(*change))
    assert account.rules() == {rule: line}
    mended = bool(account.audit().edits)
    account.fix()
    assert account.rules() == ({} if mended else {rule: line})
    assert mended == (rule not in {"vibecoding-secret", "vibecoding-query-token", "vibecoding-shell-config"})


def test_hardened_samples_have_no_findings(tmp_path: Path) -> None:
    account = Account(tmp_path)
    for name, text in SAMPLES.items():
        account.write(name, text)
    account.write("work/engine/.vibe/settings.json", '{"defaultMode": "plan"}\n')
    assert account.audit().findings == ()


def test_every_rule_has_a_bad_sample() -> None:
    known = {rule.id for rule in (*vibecoding.SETTINGS, *vibecoding.GATEWAY, *vibecoding.ALLOW)}
    assert known == {rule for rule, *_ in BAD}


def test_shell_commands_are_found_in_the_environment_and_start_up_files(tmp_path: Path) -> None:
    account = Account(tmp_path, VIBECODING_ALLOW_SHELL_CONFIG="1")
    account.write(SETTINGS, HARDENED_VIBECODING)
    account.write(
        ".zshrc", "alias x=y\n# export VIBECODING_ALLOW_SHELL_CONFIG=1\nexport VIBECODING_ALLOW_SHELL_CONFIG=1\n"
    )
    account.write(".config/fish/config.fish", "set -x VIBECODING_ALLOW_SHELL_CONFIG 1\n")
    account.write(".bashrc", "export VIBECODING_ALLOW_SHELL_CONFIG=0\n")
    found = {(Path(f.path).name, f.line) for f in account.audit().findings}
    assert found == {("settings.json", 0), (".zshrc", 3), ("config.fish", 1)}


def test_a_gateway_with_a_token_or_a_careful_mode_is_closed(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write(GATEWAY, '{"listen": ":8080", "auth": {"enabled": true}}')
    assert account.rules() == {}
    account.write(GATEWAY, '{"listen": ":8080", "defaultMode": "plan"}')
    assert account.rules() == {}
    account.write(GATEWAY, "{}")
    assert account.rules() == {"vibecoding-gateway-open": 1}, "the default listens everywhere, in yolo mode"


@pytest.mark.parametrize(("text", "line"), [('{\n  "a": 1,\n}\n', 3), ("[]\n", 1), ('{\n"a" 1}', 2)])
def test_malformed_json_names_the_line(text: str, line: int, tmp_path: Path) -> None:
    account = Account(tmp_path)
    path = account.write(SETTINGS, text)
    with pytest.raises(InputFileError, match=f"{path}:{line}: "):
        account.audit()


def test_strange_types_are_no_crash(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write(SETTINGS, '{"sandbox": 3, "approval": [], "providers": null, "defaultMode": {}}')
    account.write(GATEWAY, '{"listen": 1, "auth": "x", "cors": []}')
    assert set(account.rules()) == {"vibecoding-whitelist", "vibecoding-sandbox-off"}
