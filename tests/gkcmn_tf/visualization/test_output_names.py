"""Names of drawn files: distinct, stable, short enough for a file system."""

import os

from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.visualization.output_names import output_name

# Any text that may be part of a path, also undecodable bytes as Python represents them.
file_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]) | st.just("\udcff"),
    min_size=1,
    max_size=300,
).filter(lambda name: name not in (".", ".."))
queries = st.one_of(
    st.text(max_size=300),
    st.sampled_from(["a dog", "a dog.", "A dog", "a-dog", "a  dog", "红色方块", "x" * 200]),
)
cases = st.tuples(st.sampled_from(["", "a", "b", "/c"]), file_names, queries)


def name_of(case):
    folder, name, query = case
    return output_name(os.path.join(folder, name), query)


@given(st.lists(cases, min_size=2, max_size=20, unique=True))
def test_names_differ_if_the_video_or_query_differs(drawn):
    names = [name_of(case).lower() for case in drawn]
    assert len(set(names)) == len(names)


@given(cases)
def test_a_name_is_valid_on_any_file_system(case):
    name = name_of(case)
    # With a suffix and a temporary name; encrypted folders allow 143 bytes.
    assert len(os.fsencode(f"{name}.mp4.tmp-{2**22}")) <= 143
    assert name and not name.startswith((".", "-")) and "/" not in name and "\0" not in name
    name.encode("utf-8")


def test_a_name_contains_the_video_and_the_query():
    name = output_name("/videos/Park 01.mp4", "The red square, moving left.")
    words, digits = name.rsplit("-", 1)
    assert words == "Park-01-the-red-square-moving-left"
    assert len(digits) == 10 and set(digits) <= set("0123456789abcdef")
    assert output_name("/v/公园.mp4", "红色的方块").startswith("公园-红色的方块-")


def test_a_name_is_the_same_in_another_run_and_folder(tmp_path, monkeypatch):
    # sha256 of "/v/a.mp4", a zero byte, "a dog", by sha256sum.
    assert output_name("/v/a.mp4", "a dog") == "a-a-dog-6052b19b0b"
    monkeypatch.chdir(tmp_path)
    assert output_name("a.mp4", "a dog") == output_name(str(tmp_path / "a.mp4"), "a dog")


def test_names_that_collided_in_earlier_versions_differ():
    long = "the red square that moves from the left to the right of the picture and then "
    pairs = [
        (("a/01.mp4", "a dog"), ("b/01.mp4", "a dog")),
        (("x.webm", "a dog"), ("x.gif", "a dog")),
        (("x.mp4", f"{long} up"), ("x.mp4", f"{long} down")),
        (("x.mp4", "a dog"), ("x.mp4", "a dog?")),
        (("公" * 80 + "1.mp4", "a dog"), ("公" * 80 + "2.mp4", "a dog")),
    ]
    for one, other in pairs:
        assert output_name(*one) != output_name(*other)
