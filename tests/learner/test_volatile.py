import pytest
from accesses import access, made

from learner.access import Access, Kind
from learner.volatile import changing_names, is_volatile, lasting_part
from tracers.events import Operation


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
        "run-2026-11-22",
        ".staging-12-3fa85f",
        "tmp_obj_Ab12Cd",
        "4711.lock",
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


@pytest.mark.parametrize(
    ("path", "lasting"),
    [
        ("/h/.x/sessions/2026/11/22/log", "/h/.x/sessions"),
        ("/h/.x/sessions/2026/11", "/h/.x/sessions"),
        ("/h/.x/sessions/2026", "/h/.x/sessions/2026"),  # alone it may be anything
        ("/h/.x/objects/ab/tmp_obj_x1", "/h/.x/objects"),
        ("/h/.x/content-v2/sha512/ab/cd/0123456789abcdef0123", "/h/.x/content-v2/sha512"),
        ("/h/.x/3fa85f64-5717-4562-b3fc-2c963f66afa6/a/b", "/h/.x"),
        ("/h/.x/run-20261122/3fa85f64-5717-4562-b3fc-2c963f66afa6", "/h/.x"),
        ("/h/.x/config.toml", "/h/.x/config.toml"),
        ("/tmpabcd1234", "/"),
        ("/", "/"),
    ],
)
def test_the_part_of_a_path_that_lasts(path: str, lasting: str) -> None:
    assert lasting_part(path) == lasting


def test_a_name_can_be_spared() -> None:
    assert lasting_part("/h/.x/0123456789abcdef/y", lambda name: name == "0123456789abcdef") == (
        "/h/.x/0123456789abcdef/y"
    )


CONFIG, ANN, BOB = "/h/.tool/config", "/h/.tool/ann", "/h/.tool/bob"


@pytest.mark.parametrize(
    ("first", "second", "changing"),
    [
        ([made(ANN)], [made(BOB)], {ANN, BOB}),
        ([made(ANN), made(CONFIG)], [made(BOB), made(CONFIG)], {ANN, BOB}),
        # The first run had to write what the second one finds.
        ([made(ANN), made(CONFIG)], [made(BOB), access(Operation.READ, CONFIG)], {ANN, BOB}),
        ([made(CONFIG)], [made(BOB), access(Operation.READ, CONFIG)], set()),
        # A directory whose content the other run uses.
        ([made(ANN, Kind.DIRECTORY)], [made(BOB, Kind.DIRECTORY), access(Operation.READ, f"{ANN}/x")], set()),
        # The last run's file is tidied away.
        ([made(ANN)], [made(BOB), access(Operation.REMOVE, ANN)], {ANN, BOB}),
        # Nothing in its place, or something else.
        ([made(ANN)], [], set()),
        ([made(ANN)], [made("/h/bob")], set()),
        ([made(ANN)], [made(BOB, Kind.DIRECTORY)], set()),
        # What lies in a changing directory is not counted again.
        ([made(ANN, Kind.DIRECTORY), made(f"{ANN}/x")], [made(BOB, Kind.DIRECTORY), made(f"{BOB}/x")], {ANN, BOB}),
    ],
)
def test_names_that_differ_between_runs(first: list[Access], second: list[Access], changing: set[str]) -> None:
    assert changing_names([tuple(first), tuple(second)]) == changing
    assert changing_names([tuple(second), tuple(first)]) == changing
    assert changing_names([tuple(first), tuple(first)]) == frozenset()


def test_any_two_runs_may_differ() -> None:
    runs = [(made(ANN),), (made(ANN), access(Operation.STAT, "/")), (made(BOB),)]
    assert changing_names(runs) == {ANN, BOB}
    assert changing_names(runs[:1]) == changing_names([]) == frozenset()
