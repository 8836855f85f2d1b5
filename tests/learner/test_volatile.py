import pytest

from learner.volatile import is_volatile


@pytest.mark.parametrize(
    "name",
    [
        "tmpab12cd_9",
        "tmpab12cd_9.json",
        "ccAb3dEf.o",
        "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "session_20260802_101500_ab12cd34",
        "log-20260802.txt",
        "1722600000",
        "config.json.tmp.48213",
        ".hello.a1B2c3.tmp",
        "d41d8cd98f00b204",
        "object-1a2b3c4d.bin",
        "48213.sock",
        "agent-123456",
    ],
)
def test_names_of_one_run(name: str) -> None:
    assert is_volatile(name)


@pytest.mark.parametrize(
    "name",
    [
        "config.toml",
        "trusted_folders.toml",
        "README.md",
        "tmp",
        "tmpfiles.d",
        "libssl.so.1.1",
        "python3.12",
        "deadbeef",  # letters only: as likely a word
        "facade",
        "12345",
        "v2024",
        "cc1plus",
        "agent.sock",
        "hello.tmp",
        "package-lock.json",
        "",
        "x\ny",
        "\udcff",
    ],
)
def test_names_that_stay(name: str) -> None:
    assert not is_volatile(name)
