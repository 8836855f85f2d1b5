"""The short denylist lies within the catalogue of sensitive places, and is matched as Vibe matches it."""

from learner.audit.denylist import CHANGING, READING, examples, missing
from learner.policy import CHANGES, Right
from learner.sensitive import Catalogue

HOME = "/home/ada"


def test_every_pattern_is_of_the_catalogue() -> None:
    catalogue = Catalogue(HOME)
    strange = [
        (pattern, path)
        for patterns, rights in ((READING, Right.READ), (CHANGING, Right.READ | CHANGES))
        for pattern in patterns
        for path in examples(pattern, HOME)
        if catalogue.match(path, rights) is None
    ]
    assert strange == []


def test_a_list_covers_itself_and_no_part_of_it_is_spare() -> None:
    assert missing(CHANGING, CHANGING, HOME) == ()
    for pattern in READING:
        assert missing([p for p in READING if p != pattern], READING, HOME) == (pattern,)


def test_relative_patterns_cover_nothing() -> None:
    assert missing([".env", "~/.ssh/*"], ("**/.env", "**/.ssh/*"), HOME) == ("**/.env", "**/.ssh/*")
    assert missing(["/home/ada/.ssh/*", "*/.env"], ("**/.env", "**/.ssh/*"), HOME) == ()
    assert missing(["/home/ada/*"], ("**/.env",), HOME) == ("**/.env",), "a project may lie elsewhere"
