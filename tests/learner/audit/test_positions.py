"""On which line keys stand, in TOML and JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from learner.audit import json_text, toml_lines
from learner.audit.document import Format, at, parse

TOML = '''# one
a = 1
b.c = [
  "x", # y
  "z"
]
text = """
[not.a.table]
d = 1
"""
[tools."web.fetch"]
permission = "ask"
[[servers]]
name = "s"   # s
[servers.auth]
x = {y = 1, z = [1]}
[[servers]]
name = "t"
'''


def test_toml() -> None:
    lines = toml_lines.lines(TOML)
    assert lines["a",] == 2
    assert lines["b", "c"] == 3
    assert lines["b", "c", 0] == 4
    assert lines["b", "c", 1] == 5
    assert lines["text",] == 7
    assert lines["tools", "web.fetch"] == 11
    assert lines["tools", "web.fetch", "permission"] == 12
    assert lines["servers", 0, "name"] == 14
    assert lines["servers", 0, "auth", "x", "y"] == 16
    assert lines["servers", 1] == 17
    assert lines["servers", 1, "name"] == 18
    assert toml_lines.lines(TOML.replace("\n", "\r\n")) == lines


def test_what_is_absent_has_the_line_of_what_would_hold_it() -> None:
    document = parse("c.toml", TOML, Format.TOML)
    assert document.line(("servers", 1, "command")) == 17
    assert document.line(("tools", "bash", "permission")) == 11
    assert document.line(("nothing", "at", "all")) == 1


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
        max_leaves=20,
    ),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_json_spans_are_the_values(value: object, indent: int | str | None, escaped: bool) -> None:
    text = " \n" + json.dumps({"top": value}, indent=indent, ensure_ascii=escaped) + "\n"
    spans = json_text.spans(text)
    for keys, span in spans.items():
        assert json.loads(text[span.value : span.end]) == at({"top": value}, keys)
        assert json_text.lines(text)[keys] == text.count("\n", 0, span.start) + 1


def test_a_long_list_takes_no_long_time() -> None:
    text = "a = [\n" + "".join(f'  "item {n}",\n' for n in range(5000)) + "]\n"
    assert toml_lines.lines(text)["a", 4999] == 5001
