"""Unique file names for a query in a video."""

import hashlib
import os
import re
import unicodedata

# In bytes of UTF-8; with a suffix and a temporary suffix within the limits of file systems.
_VIDEO_BYTES = 50
_QUERY_BYTES = 60
_DIGITS = 10  # collision probability for a million names: 0.4


def output_name(video_path: str, query: str) -> str:
    """Creates a file name without suffix, such as `park-the-red-square-moves-left-0f3a9c52d1`.

    The name depends on the absolute path of the video and the query only. The digits are a hash
    that distinguishes videos with the same name and queries with the same first words.
    """
    identity = (
        os.fsencode(os.path.abspath(video_path)) + b"\0" + query.encode("utf-8", "surrogatepass")
    )
    digits = hashlib.sha256(identity).hexdigest()[:_DIGITS]
    stem = os.path.splitext(os.path.basename(video_path))[0]
    words = [_words(stem, _VIDEO_BYTES), _words(query.lower(), _QUERY_BYTES), digits]
    return "-".join(filter(None, words))


def _words(text, max_bytes):
    """Letters and digits of a text, joined by dashes, truncated to `max_bytes`."""
    joined = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", text))
    cut = joined.encode("utf-8", "ignore")[:max_bytes].decode("utf-8", "ignore")
    return cut.strip("-")
