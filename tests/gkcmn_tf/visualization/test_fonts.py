"""Choice of fonts, with generated fonts, and omitted characters."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageDraw

from gkcmn_tf.visualization import drawing, fonts


def write_font(path, characters, style="Regular"):
    """Writes a font with a full square for each character and an outline for unknown ones."""
    frame, square = TTGlyphPen(None), TTGlyphPen(None)
    for pen, inner in ((frame, True), (square, False)):
        corners = [[(0, 0), (0, 900), (900, 900), (900, 0)]]
        corners += [[(100, 100), (800, 100), (800, 800), (100, 800)]] * inner
        for first, *others in corners:
            pen.moveTo(first)
            for point in others:
                pen.lineTo(point)
            pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(character): "square" for character in characters})
    builder.setupGlyf({".notdef": frame.glyph(), "square": square.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Squares", "styleName": style})
    builder.setupOS2()
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only font folder of the system, empty."""
    monkeypatch.setattr(fonts, "FONT_FOLDERS", [tmp_path, tmp_path / "not there"])
    fonts._font_and_missing.cache_clear()
    yield tmp_path
    fonts._font_and_missing.cache_clear()


def test_latin_text_is_drawn_with_pillows_default_font(folder):
    write_font(folder / "squares.ttf", "abc")
    font, text = fonts.font_for("a b c!", 20)
    assert text == "a b c!" and font.getname()[0] != "Squares"


def test_other_text_is_drawn_with_a_font_that_contains_it(folder):
    write_font(folder / "deep" / "one.ttf", "红")
    write_font(folder / "deep" / "two.OTF", "红色 abc")
    font, text = fonts.font_for("红色 abc", 20)
    assert text == "红色 abc" and font.path.endswith("two.OTF")
    image = Image.new("L", (100, 40))
    ImageDraw.Draw(image).text((10, 5), "红色", font=font, fill=255)
    # Two squares of 18 x 18 pixels, 2 apart.
    assert np.asarray(image).astype(bool).sum() == 2 * 18 * 18


def test_characters_missing_in_all_fonts_are_omitted_and_logged_once(folder, caplog):
    for _ in range(3):
        font, text = fonts.font_for("a 红色 square", 20)
    assert text == "a  square" and font.getlength(text) > 0
    assert caplog.text.count("no font covers the characters") == 1
    assert "红 色" in caplog.text


def test_the_font_with_most_of_the_characters_is_used(folder, caplog):
    write_font(folder / "a.ttf", "abcd 红")
    write_font(folder / "b.ttf", "abcd 红色")
    font, text = fonts.font_for("abcd 红色方", 20)
    assert text == "abcd 红色" and font.path.endswith("b.ttf")
    assert "no font covers the characters 方" in caplog.text


def test_a_plain_style_is_preferred(folder):
    write_font(folder / "a.ttf", "红", style="Bold Italic")
    write_font(folder / "b.ttf", "红")
    write_font(folder / "c.ttf", "红", style="Light")
    assert fonts.font_for("红", 20)[0].path.endswith("b.ttf")


def test_a_font_without_additional_characters_is_not_used(folder, caplog):
    write_font(folder / "a.ttf", "ab")
    font, text = fonts.font_for("ab 红", 20)
    assert text == "ab " and font.getname()[0] != "Squares"


def test_a_damaged_font_is_skipped(folder):
    (folder / "a.ttf").write_bytes(b"no font")
    write_font(folder / "b.ttf", "红")
    assert fonts.font_for("红", 20)[1] == "红"


def test_joiners_need_no_glyph(folder):
    write_font(folder / "a.ttf", "红色")
    assert fonts.font_for("红\u200d色", 20)[1] == "红\u200d色"


def test_text_is_drawn_without_boxes_for_unknown_characters(folder):
    pictures = [Image.new("RGB", (200, 120)) for _ in range(2)]
    for picture, text in zip(pictures, ("a 红色 square", "a square"), strict=True):
        drawing.draw_text(picture, [(text, drawing.TEXT)])
    np.testing.assert_array_equal(*map(np.asarray, pictures))


def test_a_line_without_any_known_character_takes_no_space(folder):
    pictures = [Image.new("RGB", (200, 120), (9, 9, 9)) for _ in range(2)]
    drawing.draw_text(pictures[0], [("红色", drawing.TEXT), ("frame 3", drawing.TEXT)])
    drawing.draw_text(pictures[1], [("frame 3", drawing.TEXT)])
    np.testing.assert_array_equal(*map(np.asarray, pictures))


def test_a_sentence_without_spaces_is_wrapped(folder):
    write_font(folder / "a.ttf", "红色方块 向左移动")
    font, text = fonts.font_for("红色方块向左移动 红色", 20)
    # Each character is 20 pixels wide.
    assert drawing.wrap(text, font, 65).split("\n") == ["红色方", "块向左", "移动", "红色"]
    assert drawing.wrap("红 色", font, 10).split("\n") == ["红", "色"]


def test_the_title_of_a_strip_without_known_characters(folder):
    assert drawing.title_bar("红色", 100).shape[1:] == (100, 3)
