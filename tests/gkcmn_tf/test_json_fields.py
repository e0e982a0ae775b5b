"""Valid numbers, strings, boxes and objects, and error messages for invalid fields."""

import json
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


def test_fields_are_read_by_path():
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
def test_the_error_for_a_bad_integer_names_the_field(value, message):
    with pytest.raises(ValueError) as error:
        json_fields.integer({"a": {"b": value}}, "a", "b", at_least=4)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [0, -1, math.inf, "2", True])
def test_the_error_for_a_number_that_is_not_positive_names_the_field(value):
    with pytest.raises(ValueError, match=r"^fps: expected a positive number, got"):
        json_fields.positive_number({"fps": value}, "fps")


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", True), ("é 犬 \U0001f415", True), ("", False), (3, False), ("a\ud83d", False)],
)
def test_texts_can_be_encoded_as_utf8(value, text):
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


def test_the_caller_can_allow_larger_boxes():
    assert not json_fields.is_box([0, 0, 1e8, 1])
    assert json_fields.is_box([0, 0, 1e8, 1], most=1e9)


def parse(text):
    return json.loads(text, object_pairs_hook=json_fields.JsonObject)


def test_objects_report_duplicate_keys():
    fields = parse('{"a": 1, "b": 2, "a": 3}')
    assert fields == {"a": 3, "b": 2}
    assert fields.repeated_keys == ["a"]
    assert fields.pairs == [("a", 1), ("b", 2), ("a", 3)]
    valid = parse('{"a": 1, "b": 2}')
    assert (valid.repeated_keys, valid.pairs) == ([], [("a", 1), ("b", 2)])


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda f: json_fields.json_object(f, "list"), r"list: expected an object, got \[1, 2\]"),
        (lambda f: json_fields.json_object(f, "twice"), "twice: key 'x' occurs twice"),
        (lambda f: json_fields.json_object(f, "word", "y"), r"word\.y: missing field; expected an"),
        (lambda f: json_fields.json_object([1]), r"^expected an object, got \[1\]"),
        (json_fields.json_list, "^expected a list, got {"),
        (lambda f: json_fields.json_list(f, "a", "b"), r"a\.b: missing field; expected a list"),
        (lambda f: json_fields.number(f, "word"), "word: expected a finite number, got 'dog'"),
        (
            lambda f: json_fields.number(f, "infinite"),
            "infinite: expected a finite number, got inf",
        ),
        (lambda f: json_fields.text(f, "empty"), "empty: expected a string, got ''"),
        (lambda f: json_fields.text(f, "a", meaning="a path"), "a: missing field; expected a path"),
        (
            lambda f: json_fields.choice(f, "word", choices=("cat", "cow")),
            r"word: expected one of cat \| cow, got 'dog'",
        ),
        (
            lambda f: json_fields.choice(f, "list", choices=("cat", "cow"), default="cat"),
            r"list: expected one of cat \| cow, got \[1, 2\]",
        ),
        (lambda f: json_fields.integer(f, "word", at_least=None), "word: expected an integer, got"),
    ],
)
def test_the_error_for_a_field_of_another_type_names_it(read, message):
    fields = parse(
        '{"list": [1, 2], "twice": {"x": 1, "x": 2}, "word": "dog", "infinite": 1e999, "empty": ""}'
    )
    with pytest.raises(ValueError, match=message):
        read(fields)


def test_valid_fields_are_returned():
    fields = parse('{"list": [1], "object": {"n": -3}, "word": "dog", "x": 1e300}')
    assert json_fields.json_list(fields, "list") == [1]
    assert json_fields.json_object(fields, "object") == {"n": -3}
    assert json_fields.integer(fields, "object", "n", at_least=None) == -3
    assert json_fields.number(fields, "x") == 1e300
    assert json_fields.text(fields, "word") == "dog"
    assert json_fields.choice(fields, "word", choices=("cat", "dog")) == "dog"
    assert json_fields.choice(fields, "other", choices=("cat", "dog"), default="cat") == "cat"


def test_errors_name_the_full_path_of_the_field():
    with (
        pytest.raises(ValueError, match=r"^file\.json: record 3: fps: expected a positive number"),
        json_fields.errors_in("file.json"),
        json_fields.errors_in("record 3"),
    ):
        json_fields.positive_number({"fps": 0}, "fps")
