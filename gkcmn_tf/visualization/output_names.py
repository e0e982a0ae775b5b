"""Names of files about a query in a video, which differ where the two do."""

import hashlib
import os
import re
import unicodedata

# In bytes of UTF-8: with a suffix, and one for a temporary name, below what any file system takes.
_VIDEO_BYTES = 50
_QUERY_BYTES = 60
_DIGITS = 10  # a million names differ with a probability of 0.6


def output_name(video_path: str, query: str) -> str:
    """A file name without suffix, such as `park-the-red-square-moves-left-0f3a9c52d1`.

    It depends on the video's absolute path and the query alone, so another run gives the same name.
    The digits tell apart what the words do not: `a/01.mp4` and `b/01.mp4`, `x.webm` and `x.gif`,
    queries that differ in their punctuation, or after their first words.
    """
    identity = (
        os.fsencode(os.path.abspath(video_path)) + b"\0" + query.encode("utf-8", "surrogatepass")
    )
    digits = hashlib.sha256(identity).hexdigest()[:_DIGITS]
    stem = os.path.splitext(os.path.basename(video_path))[0]
    words = [_words(stem, _VIDEO_BYTES), _words(query.lower(), _QUERY_BYTES), digits]
    return "-".join(filter(None, words))


def _words(text, max_bytes):
    """The letters and digits of a text, with dashes between its words, cut after some bytes."""
    joined = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", text))
    cut = joined.encode("utf-8", "ignore")[:max_bytes].decode("utf-8", "ignore")
    return cut.strip("-")
