"""Searches an index of videos by sentences.

The network scores batches of clips. Boxes are computed only for the best tubes of all videos.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from gkcmn_tf import queries
from gkcmn_tf.indexing import video_index
from gkcmn_tf.indexing.video_index import VideoIndex
from gkcmn_tf.modeling import decoding
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.tubes import Tube, nearest_frames, tube_from_steps

STEPS_PER_BATCH = 768  # of all clips and sentences of a batch; limits the memory
WINDOWS_PER_BATCH = 64


class SearchNetwork:
    """The parts of a model that index and search videos, as graphs of TensorFlow.

    Example:
        >>> import numpy as np
        >>> import gkcmn_tf
        >>> from gkcmn_tf.indexing.searching import SearchNetwork
        >>> grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
        >>> network = SearchNetwork(grounder.model)
        >>> windows = network.project(np.zeros([5, 7, 7, 1024], np.float16))
        >>> windows.shape, windows.dtype  # bfloat16, which NumPy does not have
        ((5, 7, 7, 64), dtype('uint16'))

    Args:
        model: built model with trained weights.
    """

    def __init__(self, model: GroundingModel):
        self.model = model
        self.dtype = tf.dtypes.as_dtype(model.compute_dtype)
        # The models have no control flow that AutoGraph would have to convert.
        self._project = tf.function(self._encode_windows, autograph=False)
        self._score = tf.function(self._score_clips, autograph=False)
        self._boxes = tf.function(self._box_clips, autograph=False)

    @property
    def stored_dtype(self) -> np.dtype:
        """Dtype of windows in NumPy."""
        is_bfloat16 = self.dtype == tf.bfloat16
        return np.dtype(np.uint16 if is_bfloat16 else self.dtype.as_numpy_dtype)

    def project(self, features: np.ndarray) -> np.ndarray:
        """Maps features `[n, S, S, C]` to windows `[n, S, S, d]` of the model's video encoder.

        Windows in bfloat16 are returned as uint16.
        """
        batches = []
        for first in range(0, len(features), WINDOWS_PER_BATCH):
            batch = features[first : first + WINDOWS_PER_BATCH]
            padded = np.zeros((WINDOWS_PER_BATCH, *batch.shape[1:]), batch.dtype)
            padded[: len(batch)] = batch
            batches.append(self._project(tf.constant(padded)).numpy()[: len(batch)])
        windows = np.concatenate(batches)
        return windows.view(self.stored_dtype)

    def score(
        self, windows: np.ndarray, step_mask: np.ndarray, tokens: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores all candidate segments of clips.

        Args:
            windows: `[B, T, S, S, d]`, from `project`.
            step_mask: bool `[B, T]`.
            tokens: int `[B, Q, N]`.

        Returns:
            segments `[B, Q, M, 2]` in steps and scores `[B, Q, M]`, negative for invalid segments.
        """
        segments, scores = self._run(self._score, windows, step_mask, tokens)
        return segments.numpy(), scores.numpy()

    def boxes(self, windows: np.ndarray, step_mask: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Boxes `[B, Q, T, 4]` of clips, normalised; arguments as in `score`."""
        return self._run(self._boxes, windows, step_mask, tokens).numpy()

    def _run(self, function, windows, step_mask, tokens):
        video = windows.view(self.dtype.as_numpy_dtype)
        arrays = {"video": video, "step_mask": step_mask, "tokens": tokens}
        inputs = {name: tf.constant(array) for name, array in arrays.items()}
        # One graph for any number of clips and sentences.
        any_number = {"video": [None], "step_mask": [None], "tokens": [None, None]}
        signature = {
            name: tf.TensorSpec([*sizes, *inputs[name].shape[len(sizes) :]], inputs[name].dtype)
            for name, sizes in any_number.items()
        }
        return function.get_concrete_function(signature)(inputs)

    def _encode_windows(self, features):
        return self.model.encode(features[None], tf.ones([1, WINDOWS_PER_BATCH], tf.bool))[0]

    def _score_clips(self, inputs):
        # TensorFlow leaves the part of the network that only boxes need out of this graph.
        return self.model.segments(inputs, self.model.ground(inputs["video"], inputs))

    def _box_clips(self, inputs):
        return self.model.decode(inputs, self.model.ground(inputs["video"], inputs))["boxes"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Clips:
    """All clips of an index, in the order of its videos.

    Attributes:
        video: number of the video of each clip, int64 `[n]`.
        frames, samples: `[begin, end)` of each clip, int64 `[n, 2]`.
        rows: int64 `[n, T]`, row of each step in the windows of the video, -1 after the last step.
    """

    video: np.ndarray
    frames: np.ndarray
    samples: np.ndarray
    rows: np.ndarray

    @classmethod
    def of_index(cls, index: VideoIndex) -> "_Clips":
        videos = index.videos
        return cls(
            np.repeat(np.arange(len(videos)), [len(video.clips) for video in videos]),
            np.concatenate([video.clips for video in videos]),
            np.concatenate([video.samples for video in videos]),
            np.concatenate([video.rows(index.model.max_steps) for video in videos]),
        )

    @property
    def num_steps(self) -> np.ndarray:
        """Number of steps of each clip, `T'`: int64 `[n]`."""
        return (self.rows >= 0).sum(axis=1)


class IndexSearch:
    """Searches one index; reads the list of its clips once.

    Example:
        >>> import os, shutil, tempfile
        >>> import gkcmn_tf
        >>> from gkcmn_tf.indexing.searching import IndexSearch, SearchNetwork
        >>> folder = tempfile.TemporaryDirectory()
        >>> sample = gkcmn_tf.samples()[0]
        >>> _ = shutil.copy(sample.video, os.path.join(folder.name, "park.mp4"))
        >>> grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
        >>> index = grounder.index(folder.name, progress=False)
        >>> search = IndexSearch(index, SearchNetwork(grounder.model))
        >>> ((best,),) = search(grounder.tokenizer(sample.sentences[:1]), top_k=1)
        >>> best.clip
        (0, 48)
        >>> folder.cleanup()

    Args:
        index: the index.
        network: the model that it was made with.
    """

    def __init__(self, index: VideoIndex, network: SearchNetwork):
        self.index = index
        self._network = network
        self._clips = _Clips.of_index(index) if index.videos else None

    def __call__(
        self, tokens: np.ndarray, top_k: int, sentences: Sequence[str] | None = None
    ) -> list[list[Tube]]:
        """Finds the best tubes of all videos.

        Tubes of one video overlap little in time, as those of `VideoGrounder.ground`.

        Args:
            tokens: sentences, int `[Q, N]`.
            top_k: number of tubes per sentence.
            sentences: text of the sentences, for the tubes.

        Returns:
            for each sentence its tubes, best first.

        Raises:
            ValueError: a file of the index is missing or damaged.
        """
        if self._clips is None:
            return [[] for _ in tokens]
        sentences = sentences or [""] * len(tokens)
        best = [
            _distinct(candidates, self._clips.video, top_k)
            for candidates in self._candidates(tokens, top_k)
        ]
        clips = np.concatenate([found.clip for found in best])
        of_sentence = np.repeat(np.arange(len(best)), [len(found.clip) for found in best])
        boxes = self._boxes(clips, tokens[of_sentence])
        sources: dict[int, object] = {}
        answers, row = [], 0
        for sentence, found in zip(sentences, best, strict=True):
            tubes = []
            for clip, samples, score in zip(*found.columns(), strict=True):
                number = int(self._clips.video[clip])
                if number not in sources:
                    sources[number] = self.index.source(self.index.videos[number])
                tubes.append(
                    self._tube(clip, samples, score, boxes[row], sources[number], sentence)
                )
                row += 1
            answers.append(tubes)
        return answers

    def _tube(self, clip, samples, score, boxes, source, sentence):
        begin, end = self._clips.samples[clip].tolist()
        made = tube_from_steps(
            None,
            boxes[: self._clips.num_steps[clip]],
            frames=tuple(samples.tolist()),
            begin=begin,
            end=end,
            width=source.width,
            height=source.height,
            score=float(score),
        )
        frames = tuple(self._clips.frames[clip].tolist())
        return queries.in_file_frames(made, source, frames, sentence)

    def _candidates(self, tokens, top_k) -> list["_Candidates"]:
        """For each sentence, the segments of all clips that can be among the best.

        Each of the `top_k` videos with the highest scores has a tube in the answer, so segments
        with lower scores than these are not kept.
        """
        kept = [[] for _ in tokens]
        best_of_videos = np.full((len(tokens), len(self.index.videos)), -1.0, np.float32)
        for clips, windows, step_mask in self._batches(len(tokens)):
            repeated = np.repeat(tokens[None], len(clips), axis=0)
            segments, scores = self._network.score(windows, step_mask, repeated)
            for number, of_sentence in enumerate(kept):
                best = best_of_videos[number]
                np.maximum.at(best, self._clips.video[clips], scores[:, number].max(axis=1))
                clip, candidate = np.nonzero(scores[:, number] >= _least(best, top_k))
                of_sentence.append(
                    _Candidates(
                        clips[clip],
                        self._in_samples(segments[clip, number, candidate], clips[clip]),
                        scores[clip, number, candidate],
                    )
                )
        return [
            _Candidates.join(of_sentence).at_least(_least(best, top_k))
            for of_sentence, best in zip(kept, best_of_videos, strict=True)
        ]

    def _in_samples(self, segments, clips):
        begin, end = self._clips.samples[clips, :1], self._clips.samples[clips, 1:]
        return nearest_frames(segments, begin, end, self._clips.num_steps[clips, None])

    def _batches(self, num_sentences) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields batches: numbers of the clips, and their inputs."""
        size = STEPS_PER_BATCH // (self._clips.rows.shape[1] * num_sentences)
        for first in range(0, len(self._clips.video), max(size, 1)):
            clips = np.arange(first, min(first + max(size, 1), len(self._clips.video)))
            yield clips, *self._inputs(clips)

    def _boxes(self, clips, tokens):
        """Boxes `[n, T, 4]` of clips, of one sentence each."""
        size = max(STEPS_PER_BATCH // self._clips.rows.shape[1], 1)
        boxes = []
        for first in range(0, len(clips), size):
            batch = slice(first, first + size)
            boxes.append(
                self._network.boxes(*self._inputs(clips[batch]), tokens[batch, None])[:, 0]
            )
        return np.concatenate(boxes) if boxes else []

    def _inputs(self, clips):
        """Windows `[n, T, S, S, d]` of clips, and their step mask `[n, T]`."""
        rows, videos = self._clips.rows[clips], self._clips.video[clips]
        windows, mapped, last = None, None, None
        for number, (video, of_clip) in enumerate(zip(videos.tolist(), rows, strict=True)):
            if video != last:
                mapped, last = self._windows(video), video
            if windows is None:
                windows = np.zeros((*rows.shape, *mapped.shape[1:]), mapped.dtype)
            valid = of_clip[of_clip >= 0]
            windows[number, : len(valid)] = mapped[valid]
        return windows, rows >= 0

    def _windows(self, number):
        video = self.index.videos[number]
        mapped = self.index.windows(video)
        if mapped.dtype != self._network.stored_dtype or mapped.ndim != 4:
            path = video_index.windows_path(self.index.index_dir, video.key)
            raise ValueError(
                f"{path}: expected {self._network.stored_dtype} numbers [windows, S, S, d], got "
                f"{mapped.dtype} {list(mapped.shape)}; delete it and run gkcmn index again"
            )
        return mapped


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidates:
    """Candidate segments of one sentence.

    Attributes:
        clip: number of the clip, int64 `[n]`.
        samples: `[begin, end)`, int64 `[n, 2]`.
        score: float32 `[n]`.
    """

    clip: np.ndarray
    samples: np.ndarray
    score: np.ndarray

    @classmethod
    def join(cls, parts: Sequence["_Candidates"]) -> "_Candidates":
        columns = [part.columns() for part in parts]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.clip, self.samples, self.score

    def at(self, chosen: np.ndarray) -> "_Candidates":
        return _Candidates(*(column[chosen] for column in self.columns()))

    def at_least(self, score: float) -> "_Candidates":
        return self.at(np.flatnonzero(self.score >= score))


def _least(best_of_videos, top_k):
    """Score below which a segment cannot be among the best; invalid segments are below 0."""
    if len(best_of_videos) < top_k:
        return 0.0
    return max(np.partition(best_of_videos, -top_k)[-top_k], 0.0)


def _distinct(candidates, video_of_clip, top_k):
    """Greedy non-maximum suppression in each video, as `decoding.distinct_segments`."""
    # Of equal scores, the first one wins.
    ordered = candidates.at(np.argsort(-candidates.score, kind="stable"))
    video = video_of_clip[ordered.clip]
    begin, end = ordered.samples.T
    left = np.ones(len(video), bool)
    chosen = []
    while len(chosen) < top_k and left.any():
        best = int(left.argmax())
        chosen.append(best)
        shared = np.minimum(end, end[best]) - np.maximum(begin, begin[best])
        union = end - begin + end[best] - begin[best] - shared
        overlaps = np.maximum(shared, 0) > decoding.MAX_TUBE_IOU * union
        left &= ~((video == video[best]) & overlaps)
    return ordered.at(np.array(chosen, np.int64))
