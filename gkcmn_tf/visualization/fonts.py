"""Font selection: the default font of Pillow, or a system font that covers the text."""

import functools
import os
import pathlib
import sys
import unicodedata

from absl import logging
from PIL import ImageFont

_HOME = pathlib.Path.home()
FONT_FOLDERS = {
    "darwin": ["/System/Library/Fonts", "/Library/Fonts", _HOME / "Library/Fonts"],
    "win32": [os.path.join(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")],
}.get(
    sys.platform,
    [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        _HOME / ".local/share/fonts",
        _HOME / ".fonts",
    ],
)
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_UPRIGHT_STYLES = ("Regular", "Book", "Roman", "Normal", "Medium")
_NO_CHARACTER = "\uffff"  # a noncharacter, which no font contains
_TEST_SIZE = 16


def font_for(text: str, size: float) -> tuple[ImageFont.FreeTypeFont, str]:
    """Selects a font for a text.

    This is the default font of Pillow if it covers the text, otherwise the system font that covers
    most characters. Missing characters are removed and logged once.

    Args:
        text: the text to draw.
        size: font size in pixels.

    Returns:
        the font, and the text without missing characters.
    """
    path, missing = _font_and_missing("".join(sorted(set(text))))
    return _load(path, size), "".join(c for c in text if c not in missing)


@functools.lru_cache
def _load(path, size):
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


@functools.lru_cache
def _font_and_missing(characters):
    """Path of a font, None for the default font of Pillow, and the missing characters."""
    path, missing = None, _missing(ImageFont.load_default(_TEST_SIZE), characters)
    if missing:
        # The default font is preferred at equal coverage.
        best = (len(missing), False, False)
        for candidate in _system_fonts():
            try:
                font = ImageFont.truetype(
                    candidate, _TEST_SIZE, layout_engine=ImageFont.Layout.BASIC
                )
                without = _missing(font, characters)
            except OSError:  # not a font, or a bitmap font of another size
                continue
            family, style = font.getname()
            # Lower is better: number of missing characters first, then the style.
            rank = (len(without), style not in _UPRIGHT_STYLES, "Sans" not in (family or ""))
            if rank < best:
                best, path, missing = rank, candidate, without
    if missing:
        logging.warning(
            "no font covers the characters %s, which are not drawn; install a font for them, such "
            "as Noto",
            " ".join(sorted(missing)),
        )
    return path, missing


def _missing(font, characters):
    """Characters that are rendered like a missing glyph."""
    unknown = _glyph(font, _NO_CHARACTER)
    return {c for c in characters if _is_drawn(c) and _glyph(font, c) == unknown}


def _is_drawn(character):
    """Whether a character is visible, that is, not a space or control character."""
    return unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc", "Cf")


def _glyph(font, character):
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def _system_fonts():
    for folder in FONT_FOLDERS:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                yield str(path)
