"""Tubes as HTML, for notebooks."""

import base64
import html
import os
import tempfile
import typing

from gkcmn_tf.visualization import overlays

if typing.TYPE_CHECKING:  # `Tube.draw` imports this package
    from gkcmn_tf.tubes import Tube

MAX_SIDE = 480  # pixels
MAX_BYTES = 3_000_000


def tube_html(tube: "Tube") -> str:
    """Draws a tube into its video, scaled down and without audio, for display in a page.

    Videos longer than a minute are cut to an excerpt around the tube.

    Returns:
        a `<video>` element with an embedded MP4 of at most about 3 MB.

    Raises:
        FileNotFoundError: the video file does not exist.
    """
    timeline = tube.video.timeline
    begin, end = overlays.excerpt_around(tube) or (0, timeline.frame_count)
    begin_seconds, end_seconds = timeline.seconds(begin, end)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tube.mp4")
        overlays.draw_tubes(
            tube.video.path,
            tube,
            num_frames=timeline.frame_count,
            overlay_path=path,
            max_side=MAX_SIDE,
            max_bit_rate=round(8 * MAX_BYTES / max(end_seconds - begin_seconds, 1)),
            excerpt=(begin, end),
        )
        with open(path, "rb") as file:
            content = base64.b64encode(file.read()).decode("ascii")
    title = html.escape(tube.sentence, quote=True)
    source = f"data:video/mp4;base64,{content}"
    return f'<video controls loop muted title="{title}" src="{source}"></video>'
