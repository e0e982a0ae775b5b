"""What counts as a number, a text, a box."""

import math

import pytest

from gkcmn_tf import json_fields


@pytest.mark.parametrize(
    ("value", "number", "integer"),
    [
        (3, True, True),
        (-2, True, True),
        (2.5, True, False),
        (True, False, False),
        ("3", False, False),
        (None, False, False),
        (math.nan, False, False),
        (-math.inf, False, False),
        (10**400, False, False),
        (1_000_001, False, False),
    ],
)
def test_numbers(value, number, integer):
    assert json_fields.is_number(value) == number
    assert json_fields.is_integer(value) == integer


def test_fields_are_found_by_their_path():
    fields = {"a": {"b": 3, "c": 2.5}}
    assert json_fields.get(fields, "a", "b") == 3
    assert json_fields.get(fields, "b", "a") is None
    assert json_fields.get([fields], "a") is None
    assert json_fields.integer(fields, "a", "b", at_least=3) == 3
    assert json_fields.positive_number(fields, "a", "c") == 2.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "a.b: expected an integer of at least 4, got 3"),
        (None, "a.b: expected an integer of at least 4, got None"),
        (2_000_000, "a.b: expected an integer of at least 4 and at most 1000000, got 2000000"),
    ],
)
def test_a_bad_integer_is_named(value, message):
    with pytest.raises(ValueError) as error:
        json_fields.integer({"a": {"b": value}}, "a", "b", at_least=4)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [0, -1, math.inf, "2", True])
def test_a_number_that_is_not_positive_is_named(value):
    with pytest.raises(ValueError, match=r"^fps: expected a positive number, got"):
        json_fields.positive_number({"fps": value}, "fps")


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", True), ("é 犬 \U0001f415", True), ("", False), (3, False), ("a\ud83d", False)],
)
def test_texts_can_be_written(value, text):
    assert json_fields.is_text(value) == text


@pytest.mark.parametrize(
    ("value", "box"),
    [
        ([1, 2, 3, 4], True),
        ([1, 2, 1, 2], True),
        ([-5, 0, 3.5, 1], True),
        ([3, 2, 1, 4], False),
        ([1, 2, 3], False),
        ([1, 2, 3, math.nan], False),
        ([1, 2, 3, "4"], False),
        ("1234", False),
        (None, False),
    ],
)
def test_boxes_are_four_numbers_in_order(value, box):
    assert json_fields.is_box(value) == box
