"""Fonts that have a text's characters: Pillow's own, or one that the system has."""

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
_NO_CHARACTER = "\uffff"  # which Unicode keeps free, so that no font has it
_TEST_SIZE = 16


def font_for(text: str, size: float) -> tuple[ImageFont.FreeTypeFont, str]:
    """A font of `size` pixels for a text, and the text without characters that it does not have.

    Pillow's own font if it has all of them, else the system's font that has most. What is left out
    is logged once.
    """
    path, missing = _font_and_missing("".join(sorted(set(text))))
    return _load(path, size), "".join(c for c in text if c not in missing)


@functools.lru_cache
def _load(path, size):
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


@functools.lru_cache
def _font_and_missing(characters):
    """The path of a font, None for Pillow's own, and which of the characters it does not have."""
    path, missing = None, _missing(ImageFont.load_default(_TEST_SIZE), characters)
    if missing:
        # Pillow's own wins over a font that has no more.
        best = (len(missing), False, False)
        for candidate in _system_fonts():
            try:
                font = ImageFont.truetype(
                    candidate, _TEST_SIZE, layout_engine=ImageFont.Layout.BASIC
                )
                without = _missing(font, characters)
            except OSError:  # no font, or one of bitmaps of another size
                continue
            family, style = font.getname()
            # Less is better: first the characters, then a plain style.
            rank = (len(without), style not in _UPRIGHT_STYLES, "Sans" not in (family or ""))
            if rank < best:
                best, path, missing = rank, candidate, without
    if missing:
        logging.warning(
            "no font has the characters %s, pictures are drawn without them; install one that has "
            "them, such as Noto",
            " ".join(sorted(missing)),
        )
    return path, missing


def _missing(font, characters):
    """The characters that a font draws as it draws one that it does not have."""
    unknown = _glyph(font, _NO_CHARACTER)
    return {c for c in characters if _is_drawn(c) and _glyph(font, c) == unknown}


def _is_drawn(character):
    """Not spaces, and not characters that only tell how others are drawn."""
    return unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc", "Cf")


def _glyph(font, character):
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def _system_fonts():
    for folder in FONT_FOLDERS:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                yield str(path)
