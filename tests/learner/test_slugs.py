import base64
import hashlib
import os
import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import hostile_names

from learner.slugs import SHORTEST_DIGEST, Form, Slug, find, find_all, render

PROJECT = "/home/ada/work/my.engine_2"
PATH = PROJECT.encode()

projects = st.lists(hostile_names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=5).map(
    lambda parts: os.fsdecode(os.fsencode("/" + "/".join(parts)))
)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Form.DASHES, "home-ada-work-my-engine-2"),
        (Form.PATH_DASHES, "home-ada-work-my.engine_2"),
        (Form.UNDERSCORES, "home_ada_work_my_engine_2"),
        (Form.PATH_UNDERSCORES, "home_ada_work_my.engine_2"),
        (Form.PATH_PERCENTS, "home%ada%work%my.engine_2"),
        (Form.PATH_BANGS, "home!ada!work!my.engine_2"),
        (Form.PERCENT, quote("home/ada/work/my.engine_2", safe="")),
        (Form.BASE64, base64.urlsafe_b64encode(PATH).decode().rstrip("=")),
        (Form.PADDED, base64.urlsafe_b64encode(PATH).decode()),
        (Form.SHA256, hashlib.sha256(PATH).hexdigest()),
        (Form.SHA1, hashlib.sha1(PATH).hexdigest()),
        (Form.MD5, hashlib.md5(PATH).hexdigest()),
    ],
)
def test_each_form_is_found_where_programs_write_it(form: Form, text: str) -> None:
    assert render(form, PROJECT) == text
    for before, after in (("", ""), ("-", ""), ("--", "--"), ("%", "%main.c"), ("tool-", ".lock"), ("é_", "_é")):
        assert find(before + text + after, PROJECT) == Slug(len(before), len(before + text), form, 0)


def test_slugs_of_words_have_no_doubled_separators() -> None:
    assert render(Form.WORDS, "/home/ada/.x/--y__") == "home-ada-x-y"
    assert find("home-ada-x-y", "/home/ada/.x/--y__") == Slug(0, 12, Form.WORDS, 0)


def test_every_form_is_tested_and_can_be_written() -> None:
    assert all(render(form, PROJECT) for form in Form)
    assert {form for form in Form if form.digits} == {Form.SHA256, Form.SHA1, Form.MD5}


@pytest.mark.parametrize("form", [Form.SHA256, Form.SHA1, Form.MD5])
def test_digests_may_be_cut_short(form: Form) -> None:
    digest = render(form, PROJECT)
    for length in range(SHORTEST_DIGEST, form.digits):
        assert find(f"cache-{digest[:length]}.db", PROJECT) == Slug(6, 6 + length, form, length)
        assert render(form, PROJECT, length) == digest[:length]
    assert find(digest[: SHORTEST_DIGEST - 1], PROJECT) is None


@pytest.mark.parametrize(
    "name",
    [
        "home-ada-work-my-engine-21",
        "xhome-ada-work-my-engine-2",
        "home-ada-work",
        "my-engine-2",
        "éhome-ada-work-my-engine-2",
        hashlib.sha256(b"/home/ada/work").hexdigest(),
        hashlib.sha256(PATH).hexdigest()[1:17],
        hashlib.sha256(PATH).hexdigest() + "0",
        hashlib.sha256(PATH).hexdigest().upper(),
        base64.urlsafe_b64encode(PATH + b"/src").decode().rstrip("="),
        "",
    ],
)
def test_other_names_hold_no_slug(name: str) -> None:
    assert find(name, PROJECT) is None


@pytest.mark.parametrize(
    ("project", "name"), [("/", "-"), ("/", hashlib.sha256(b"/").hexdigest()), ("/a/b", "-a-b"), ("/engine", "-engine")]
)
def test_what_is_too_short_to_tell_is_left_alone(project: str, name: str) -> None:
    assert find(name, project) is None


def test_a_short_project_is_known_by_its_digest() -> None:
    assert find(hashlib.sha256(b"/a").hexdigest(), "/a") == Slug(0, 64, Form.SHA256, 0)


def test_padding_belongs_to_the_slug() -> None:
    project = "/home/ada/x"
    padded = base64.urlsafe_b64encode(project.encode()).decode()
    assert padded.endswith("=")
    assert find(padded, project) == Slug(0, len(padded), Form.PADDED, 0)
    assert find(padded.rstrip("="), project) == Slug(0, len(padded.rstrip("=")), Form.BASE64, 0)


def test_a_text_may_hold_several() -> None:
    text = f"-home-ada-work-my-engine-2/deadbeef00/{render(Form.MD5, PROJECT, 12)}.db"
    assert [text[slug.start : slug.end] for slug in find_all(text, PROJECT)] == [
        "home-ada-work-my-engine-2",
        render(Form.MD5, PROJECT, 12),
    ]
    assert find(text, PROJECT, 2) == list(find_all(text, PROJECT))[1]


@given(projects, st.sampled_from(Form), hostile_names, hostile_names)
def test_what_is_found_is_what_the_form_writes(project: str, form: Form, before: str, after: str) -> None:
    text = f"{before}-{render(form, project)}.{after}"
    for slug in find_all(text, project):
        assert text[slug.start : slug.end] == render(slug.form, project, slug.length)
    assert "/" not in render(form, project)


def test_texts_alone_need_no_hashes() -> None:
    code = (
        "import sys; from learner.variables import Variables; v = Variables('/home/ada/work', '/home/ada', uid=0);"
        "text = v.contract('/home/ada/.x/-home-ada-work/y'); assert text == '$HOME/.x/-${PROJECT:dashes}/y', text;"
        "v.expand(text); assert 'hashlib' not in sys.modules;"
        "v.expand('$HOME/${PROJECT:sha256:16}'); assert 'hashlib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
