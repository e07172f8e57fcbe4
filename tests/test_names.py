from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.names import RANGE, expand_braces, parse_items


def texts(given: str) -> list[str]:
    return [item.text for item in parse_items(given)]


def test_commas_separate_names_and_options_stay_with_theirs() -> None:
    first, second = parse_items("nano,hf:a/b,dtype=float32,device=cpu")
    assert (first.name, first.argument, dict(first.options)) == ("nano", "", {})
    assert (second.name, second.argument) == ("hf", "a/b")
    assert dict(second.options) == {"dtype": "float32", "device": "cpu"}


def test_options_may_stand_without_an_argument() -> None:
    (item,) = parse_items("translation:src=a.en,ref=a.de")
    assert item.argument == ""
    assert dict(item.options) == {"src": "a.en", "ref": "a.de"}


def test_braces_expand_like_a_shell_and_repeat_the_options() -> None:
    assert texts("hf:o/p-{70m,160m},dtype=bf16") == [
        "hf:o/p-70m,dtype=bf16",
        "hf:o/p-160m,dtype=bf16",
    ]
    assert texts("x{1..3},y") == ["x1", "x2", "x3", "y"]
    assert texts("{a,b{c,d}}") == ["a", "bc", "bd"]


def test_a_backslash_takes_the_next_character_as_it_is() -> None:
    (item,) = parse_items(r"text:a\,b\{c\}.txt")
    assert item.argument == "a,b{c}.txt"
    assert parse_items(item.text) == (item,)


@pytest.mark.parametrize("text", ["a{b", "a}b", "a{b,{c}"])
def test_unbalanced_braces_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Unbalanced"):
        parse_items(text)


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_items("hf:a,dtype=x,dtype=y")


def test_a_missing_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no name before"):
        parse_items(":path")


@given(st.lists(st.text("abcxyz0189._-", min_size=1), min_size=1, max_size=5))
def test_any_plain_names_come_back_as_written(names: list[str]) -> None:
    assert texts(",".join(names)) == names
    assume(len(names) > 1 or not RANGE.match(names[0]))  # {1..3} is three names
    assert expand_braces("{" + ",".join(names) + "}") == names


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        parse_items(text)
    except UsageError as error:
        assert str(error)
