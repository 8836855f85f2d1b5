import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.seatbelt.sbpl import (
    Expression,
    Regex,
    Symbol,
    SyntaxProblem,
    exactly,
    in_any_case,
    is_sayable,
    parse,
    render,
)

words = st.sampled_from(["allow", "file-read*", "require-not", "subpath"]).map(Symbol)
texts = st.text(max_size=30).filter(is_sayable)
patterns = (
    st.text(max_size=10)
    .map(lambda text: Regex(exactly(text.replace('"', "").replace("\\", ""))))
    .filter(lambda regex: is_sayable(regex.pattern))
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(words, texts, patterns, st.integers(0, 10**9)),
    lambda inner: st.lists(inner, max_size=4).map(tuple).filter(lambda found: len(found) != 1 or found[0] != ""),
    max_leaves=12,
)


@given(st.lists(expressions, max_size=4))
def test_what_is_written_is_read(found: list[Expression]) -> None:
    assert parse("\n; a remark\n".join(map(render, found))) == tuple(found)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except SyntaxProblem:
        return


@pytest.mark.parametrize("text", ["(", ")", '"', "(allow", "#", "(" * 100, "(allow ]", "`x"])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(SyntaxProblem):
        parse(text)


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\udcff", "\x7f"])
def test_no_name_with_control_characters_is_written(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        render(name)


def test_a_word_is_a_word() -> None:
    with pytest.raises(ValueError, match="no word"):
        render(Symbol("x) (allow default"))


def test_patterns_are_exact() -> None:
    assert exactly("/a.b(c)") == r"/a\.b\(c\)"
    assert in_any_case("/.sSh") == r"/\.[sS][sS][hH]"
