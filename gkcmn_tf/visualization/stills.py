"""The strip of still images of a tube: a grid of frames with boxes, below a title."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from gkcmn_tf.visualization.drawing import (
    TEXT,
    DrawnTube,
    draw_boxes,
    draw_text,
    evenly_spaced,
    title_bar,
    write_png,
)

STILL_HEIGHT = 240  # pixels
STILLS_PER_ROW = 4


class Stills:
    """Collects evenly spaced still images from a stream of frames and writes them as one PNG.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.tubes import Tube
        >>> from gkcmn_tf.visualization.drawing import PREDICTED, DrawnTube
        >>> from gkcmn_tf.visualization.stills import Stills
        >>> tube = Tube(2, 8, np.tile([4, 4, 20, 20], (6, 1)))
        >>> stills = Stills("clip.mp4", [DrawnTube("predicted", tube, PREDICTED)], 20, count=4)
        >>> [int(number) for number in stills.wanted]
        [1, 3, 6, 8]

    Args:
        video_path: path of the video, for error messages.
        drawn: the tubes to draw.
        num_frames: number of frames of the video.
        count: maximum number of still images.

    Attributes:
        wanted: numbers of the frames to take, ascending.

    Raises:
        ValueError: a tube begins after the end of the video.
    """

    def __init__(
        self, video_path: str, drawn: Sequence[DrawnTube], num_frames: int, count: int
    ) -> None:
        if any(tube.begin >= num_frames for _, tube, _ in drawn):
            raise ValueError(
                f"{video_path}: a tube begins after the end of the video at frame {num_frames}"
            )
        self._drawn = drawn
        self._taken = []
        begin = min(tube.begin for _, tube, _ in drawn)
        end = max(tube.end for _, tube, _ in drawn)
        margin = max((end - begin) // 6, 1)
        last = min(end + margin, num_frames) - 1
        self.wanted = evenly_spaced(max(begin - margin, 0), last, count)

    @property
    def complete(self) -> bool:
        """Whether all wanted frames have been taken."""
        return len(self._taken) == len(self.wanted)

    def take(self, number: int, frame: np.ndarray, pixel_aspect: float) -> None:
        """Draws the boxes into a wanted frame, uint8 `[H, W, 3]`; ignores other frames."""
        if number not in self.wanted:
            return
        still = Image.fromarray(frame)
        inside = [name for name, tube, _ in self._drawn if tube.begin <= number < tube.end]
        draw_text(still, [(", ".join([f"frame {number}", *inside]), TEXT)])
        draw_boxes(still, self._drawn, number)
        width = max(round(still.width * pixel_aspect * STILL_HEIGHT / still.height), 1)
        self._taken.append(np.asarray(still.resize((width, STILL_HEIGHT))))

    def write(self, path: str, title: str) -> None:
        """Writes a grid of still images with `STILLS_PER_ROW` columns below the title."""
        stills = [np.pad(still, ((2, 2), (2, 2), (0, 0))) for still in self._taken]
        columns = min(STILLS_PER_ROW, len(stills))
        stills += [np.zeros_like(stills[0])] * (-len(stills) % columns)
        grid = np.stack(stills).reshape(-1, columns, *stills[0].shape)
        rows = np.concatenate(np.concatenate(grid.swapaxes(0, 1), axis=2))
        write_png(path, np.concatenate([title_bar(title, rows.shape[1]), rows]))
