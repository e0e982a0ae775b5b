"""Tubes shown in notebooks."""

import base64
import html
import os
import tempfile

from gkcmn_tf.tubes import Tube
from gkcmn_tf.visualization import overlays

MAX_SIDE = 480  # pixels
MAX_BYTES = 3_000_000


def tube_html(tube: Tube) -> str:
    """A tube drawn into its video, scaled down and without sound, as a page shows it.

    Returns:
        a `<video>` element that holds an MP4 of about 3 MB at most.

    Raises:
        FileNotFoundError: the video's file is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tube.mp4")
        overlays.draw_tubes(
            tube.video.path,
            tube,
            num_frames=tube.video.timeline.frame_count,
            overlay_path=path,
            max_side=MAX_SIDE,
            max_bit_rate=round(8 * MAX_BYTES / max(tube.video.timeline.end_time, 1)),
            with_sound=False,
        )
        with open(path, "rb") as file:
            content = base64.b64encode(file.read()).decode("ascii")
    title = html.escape(tube.sentence, quote=True)
    source = f"data:video/mp4;base64,{content}"
    return f'<video controls loop muted title="{title}" src="{source}"></video>'
