"""What looks like a secret, and what only speaks of one."""

import pytest

from learner.audit.secret_values import is_secret, masked, secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "hunter2hunter2"),
        ("apiKey", "sk-0123456789abcdef"),
        ("Authorization", "Bearer abcdefghijkl"),
        ("note", "glpat-0123456789abcdefghij"),
        ("tokens", "s3cr3t-value"),
        ("client_secret", "abcdefgh1"),
        ("x", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ],
)
def test_secrets(name: str, value: str) -> None:
    assert is_secret(name, value)
    assert value not in masked(f'{name} = "{value}"')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key_env_var", "MISTRAL_API_KEY"),
        ("api_key", "${MISTRAL_API_KEY}"),
        ("apiKey", "DEEPSEEK_API_KEY"),
        ("apiKey", "!pass show x"),
        ("api_key_format", "Bearer {token}"),
        ("api_key_header", "Authorization"),
        ("api_key", ""),
        ("maxTokens", "many tokens"),
        ("password", "short"),
    ],
)
def test_references(name: str, value: str) -> None:
    assert not is_secret(name, value)


def test_where_they_stand() -> None:
    data = {"providers": [{"headers": {"Authorization": "Bearer abcdefghijkl"}}], "auth": {"tokens": ["s3cr3t-value"]}}
    assert list(secrets(data)) == [("providers", 0, "headers", "Authorization"), ("auth", "tokens", 0)]
