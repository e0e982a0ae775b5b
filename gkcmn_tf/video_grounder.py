"""High-level API: grounds sentences in video files with a trained model."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from gkcmn_tf import out_of_distribution, queries, searched_clips
from gkcmn_tf import preset as presets
from gkcmn_tf.encoded_video import EncodedVideo, cache_path
from gkcmn_tf.features import extraction
from gkcmn_tf.indexing import updating
from gkcmn_tf.indexing.searching import IndexSearch, SearchNetwork
from gkcmn_tf.indexing.video_index import IndexModel, VideoIndex
from gkcmn_tf.modeling import decoding
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.tubes import Tube, nearest_frames, tube_from_steps
from gkcmn_tf.video import steps

# Limits of the memory: sentences per batch, and steps of all its clips.
SENTENCES_PER_BATCH = 16
STEPS_PER_BATCH = 256


class VideoGrounder:
    """Grounds sentences in videos.

    Example:
        >>> import gkcmn_tf
        >>> grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
        >>> sample = gkcmn_tf.samples()[0]
        >>> video = grounder.encode(sample.video, progress=False)  # once per video
        >>> tube = grounder.ground(video, sample.sentences[0])
        >>> tube.boxes.shape == (tube.end - tube.begin, 4)
        True
        >>> grounder.ground(video, sample.sentences[0], threshold=1.0) is None
        True

    Args:
        model: built model with trained weights.
        tokenizer: tokenizer of the model.
        features: settings of the feature extraction of the training data.
        max_steps: `T`, maximum number of steps of a clip.
        about: other fields of the preset, such as description, training statistics and metrics.
        i3d_weights: location of the I3D weights; default: that in `features`.
    """

    def __init__(
        self,
        model: GroundingModel,
        tokenizer: Tokenizer,
        features: dict[str, Any],
        *,
        max_steps: int,
        about: dict[str, Any] | None = None,
        i3d_weights: str | None = None,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.features = features
        self.max_steps = max_steps
        self.about = about or {}
        self._i3d_weights = i3d_weights
        self._extractor = None
        self._warned = set()  # clips with a warning about differences from the training data
        # A graph, like evaluation and the SavedModel: eager execution rounds differently in
        # reduced precision.
        self._find = tf.function(self._find_tubes, reduce_retracing=True, autograph=False)
        self._choose = tf.function(
            decoding.distinct_segments, reduce_retracing=True, autograph=False
        )
        # Further sentences are mostly about the same part of the same video.
        self._clip_inputs = functools.lru_cache(maxsize=1)(self._read_clips)
        self._search_of = functools.lru_cache(maxsize=1)(self._make_search)

    @classmethod
    def from_preset(
        cls, preset: str | os.PathLike, *, i3d_weights: str | None = None, dtype: str | None = None
    ) -> "VideoGrounder":
        """Loads a trained model.

        Args:
            preset: a name in `gkcmn_tf.presets()`, the folder of a preset, the folder of a run of
                `gkcmn_tf.train`, or `hf://owner/name`, a repository on the Hugging Face Hub.
            i3d_weights: location of the I3D weights; default: that in the preset.
            dtype: precision of the grounding network, such as `float32`; default: that of training.

        Raises:
            FileNotFoundError: the preset, the folder or a file in it does not exist.
            ValueError: a file is damaged.
        """
        loaded = presets.load(os.fspath(preset), dtype=dtype)
        return cls(
            loaded.model,
            loaded.tokenizer,
            loaded.features,
            max_steps=loaded.max_steps,
            about=loaded.about,
            i3d_weights=i3d_weights,
        )

    def save_to_preset(self, folder: str | os.PathLike, *, weights: str = "float16") -> None:
        """Writes a folder that `from_preset` loads.

        Args:
            folder: output folder, new or that of a preset, whose files are replaced.
            weights: storage dtype of the weights. `float16` halves the size of `float32`, and
                rounding changes scores slightly.

        Raises:
            ValueError: `weights` is invalid or cannot hold a weight of the model, or `folder`
                contains a run or another README.
        """
        presets.save(
            TrainedModel(self.model, self.tokenizer, self.features, self.max_steps, self.about),
            os.fspath(folder),
            weights=weights,
        )

    @property
    def extractor(self) -> extraction.FeatureExtractor:
        """Feature extractor, built when the first video is encoded.

        Raises:
            ValueError: the weights or settings differ from those of training.
        """
        if self._extractor is None:
            self._extractor = extraction.FeatureExtractor.from_fingerprint(
                self.features, self._i3d_weights
            )
        return self._extractor

    def encode(
        self,
        video: str | os.PathLike,
        *,
        begin: float | None = None,
        end: float | None = None,
        search: str = searched_clips.AUTO,
        cache_dir: str | os.PathLike | None = None,
        progress: bool = True,
    ) -> EncodedVideo:
        """Computes the features of a video, once for all sentences.

        Only the windows that the model's steps use are decoded and encoded.

        Args:
            video: a video file in any format that FFmpeg can read.
            begin: begin of the part to search, in seconds after the start of the file; default:
                begin of the video. Use the same part and `search` in `ground`.
            end: end of the part in seconds; default: end of the video.
            search: see `ground`.
            cache_dir: cache folder of encoded videos; a damaged file is written again. Default: no
                cache.
            progress: whether to show a progress bar.

        Raises:
            FileNotFoundError: the file does not exist.
            gkcmn_tf.video.reading.VideoError: no frame can be decoded.
            ValueError: the I3D weights differ from those of training, or the part is outside the
                video.
        """
        path = os.fsdecode(video)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such video")
        cached = None
        where = self._clip_search(begin, end, search)
        if cache_dir is not None:
            cached = cache_path(cache_dir, path, self.features, dataclasses.asdict(where))
        if cached is not None and os.path.exists(cached):
            try:
                # The cached video may have had another path.
                return EncodedVideo.load(cached).at_path(path)
            except ValueError as error:
                logging.warning("%s", error)
        extractor = self.extractor  # built before the bar is shown: it logs its weights
        with tqdm.tqdm(desc="encoding", unit="window", disable=not progress) as bar:
            encoded = extractor.encode(path, where.windows, on_progress=_advance(bar))
        if cached is not None:
            encoded.save(cached)
        return encoded

    def _clip_search(self, begin, end, search):
        longest = searched_clips.longest_training_clip(self.about)
        return searched_clips.ClipSearch(self.max_steps, longest, begin, end, search)

    def ground(
        self,
        video: EncodedVideo | str | os.PathLike,
        sentences: str | Sequence[str],
        *,
        begin: float | None = None,
        end: float | None = None,
        search: str = searched_clips.AUTO,
        top_k: int = 1,
        threshold: float | None = None,
    ) -> Any:
        """Finds the tube of each sentence.

        Args:
            video: an encoded video, or a video file, which is encoded first.
            sentences: one sentence or a list of sentences.
            begin: begin of the searched part in seconds after the start of the file, as in players;
                default: begin of the video.
            end: end of the searched part in seconds; default: end of the video.
            search: `whole` searches the part as one clip; `sliding` in overlapping clips as long as
                the longest of training; `auto` slides if the part is much longer than these.
            top_k: number of tubes per sentence, sorted by score; they differ in time.
            threshold: minimum score of a tube, the paper's `c`; default: no minimum.

        Returns:
            for one sentence its `Tube`, or None if no score reaches `threshold`; if `top_k` is more
            than 1, a list of tubes, which may be empty. For a list of sentences, a list of these.

        Raises:
            ValueError: a sentence has no words, the searched part is outside the video or not
                encoded, `search` or `top_k` is invalid, `threshold` is not in [0, 1], or the video
                was encoded for another model.
        """
        one = isinstance(sentences, str)
        texts = [sentences] if one else list(sentences)
        if top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold: expected a score from 0 to 1, got {threshold}")
        for sentence in texts:
            queries.check_sentence(sentence, self.tokenizer)
        if not isinstance(video, EncodedVideo):
            video = self.encode(video, begin=begin, end=end, search=search)
        if changed := extraction.differences(self.features, video.fingerprint):
            raise ValueError(
                f"{video.source.path}: was encoded for another model, with another "
                f"{', '.join(changed)}; encode it with this one"
            )
        clips = self._clip_search(begin, end, search).clips(video.source.timeline)
        if len(clips) > 1:
            logging.info("%s: searched in %d overlapping clips", video.source.path, len(clips))
        part = (clips[0][0], clips[-1][1])
        if texts and (video.source.path, part) not in self._warned:
            self._warned.add((video.source.path, part))
            out_of_distribution.warn_of_differences(video, clips[0], self.max_steps, self.about)
        found = []
        for first in range(0, len(texts), SENTENCES_PER_BATCH):
            found += self._ground_batch(
                video, texts[first : first + SENTENCES_PER_BATCH], clips, top_k
            )
        if threshold is not None:
            found = [[tube for tube in tubes if tube.score >= threshold] for tubes in found]
        if top_k == 1:
            found = [tubes[0] if tubes else None for tubes in found]
        return found[0] if one else found

    @functools.cached_property
    def index_model(self) -> IndexModel:
        """What identifies the model in an index of videos."""
        content = hashlib.sha256()
        config = {k: v for k, v in self.model.get_config().items() if k not in ("name", "dtype")}
        described = [type(self.model).__name__, config, self.tokenizer.vocabulary]
        content.update(json.dumps(described, sort_keys=True).encode())
        for variable in self.model.weights:
            value = np.ascontiguousarray(variable.numpy())
            content.update(f"{value.dtype} {value.shape}".encode())
            content.update(value.tobytes())
        return IndexModel(
            name=self.about.get("name", type(self.model).__name__),
            weights_sha256=content.hexdigest(),
            precision=self.model.compute_dtype,
            max_steps=self.max_steps,
            longest_clip=searched_clips.longest_training_clip(self.about),
            features=self.features,
        )

    @functools.cached_property
    def search_network(self) -> SearchNetwork:
        """The parts of the model that index and search videos."""
        return SearchNetwork(self.model)

    def index(
        self,
        folder: str | os.PathLike,
        *,
        index_dir: str | os.PathLike | None = None,
        cache_dir: str | os.PathLike | None = None,
        progress: bool = True,
    ) -> VideoIndex:
        """Encodes the videos of a folder and its subfolders for `search`.

        Only new and changed videos are encoded; the command `gkcmn index` encodes several at once.
        Videos much longer than training clips are cut into overlapping clips, as in `ground`.

        Args:
            folder: folder of the videos.
            index_dir: folder of the index; default: `.gkcmn` in `folder`.
            cache_dir: as in `encode`, for another index of the videos by a model with the same
                features.
            progress: whether to show a progress bar.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: the index was made by another model or of another folder, is in use, or is
                damaged; or the I3D weights differ from those of training.
        """
        _ = self.extractor  # its errors are not those of a video
        encode = functools.partial(self.encode_for_index, cache_dir=cache_dir)
        index, _ = updating.update_index(
            os.fsdecode(folder),
            None if index_dir is None else os.fsdecode(index_dir),
            self.index_model,
            functools.partial(updating.in_this_process, encode),
            progress=progress,
        )
        for reason in index.skipped.values():
            logging.warning("skipped: %s", reason)
        return index

    def encode_for_index(
        self, job: updating.Job, *, cache_dir: str | os.PathLike | None = None
    ) -> updating.Outcome:
        """Encodes a video of `update_index` and writes its files; see `encode_job`."""
        encode = functools.partial(self.encode, cache_dir=cache_dir, progress=False)
        return updating.encode_job(encode, self.search_network.project, self.index_model, job)

    def search(
        self,
        index: VideoIndex | str | os.PathLike,
        sentences: str | Sequence[str],
        *,
        top_k: int = 5,
    ) -> Any:
        """Finds the best tubes of sentences in all videos of an index.

        These are the best of the tubes that `ground` finds in each video.

        Args:
            index: an index, its folder, or the folder of its videos.
            sentences: one sentence or a list of sentences.
            top_k: number of tubes per sentence.

        Returns:
            a list of tubes, best first; for a list of sentences, a list of these.

        Raises:
            FileNotFoundError: there is no index.
            ValueError: a sentence has no words, `top_k` is invalid, or the index was made by
                another model or is damaged.
        """
        one = isinstance(sentences, str)
        texts = [sentences] if one else list(sentences)
        if top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        for sentence in texts:
            queries.check_sentence(sentence, self.tokenizer)
        if not isinstance(index, VideoIndex):
            index = VideoIndex.load(index)
        updating.check_model(index, self.index_model)
        search = self._search_of(index)
        found = []
        for first in range(0, len(texts), SENTENCES_PER_BATCH):
            batch = texts[first : first + SENTENCES_PER_BATCH]
            found += search(self.tokenizer(batch), top_k, batch)
        return found[0] if one else found

    def _make_search(self, index):
        return IndexSearch(index, self.search_network)

    def _ground_batch(self, video, sentences, clips, top_k) -> list[list[Tube]]:
        source = video.source
        ranges = [source.timeline.to_samples(*clip) for clip in clips]
        tokens = self.tokenizer(sentences)
        frames, scores, boxes = [], [], []
        clips_per_batch = max(STEPS_PER_BATCH // self.max_steps, 1)
        for first in range(0, len(clips), clips_per_batch):
            batch = tuple(ranges[first : first + clips_per_batch])
            inputs = self._clip_inputs(video, batch)
            repeated = np.repeat(tokens[None], len(batch), axis=0)
            outputs = [value.numpy() for value in self._find(inputs | {"tokens": repeated})]
            for (begin, end), segments, of_clip, of_steps in zip(batch, *outputs, strict=True):
                num_steps = steps.count_steps(begin, end, self.max_steps)
                # Compared in frames, since different segments may be rounded to the same frames.
                frames.append(nearest_frames(segments, begin, end, num_steps))
                scores.append(of_clip)
                boxes.append(of_steps[:, :num_steps])
        per_clip = scores[0].shape[-1]
        frames, scores = np.concatenate(frames, axis=1), np.concatenate(scores, axis=1)
        with tf.device("CPU"):  # small arrays, already copied from the model's device
            best_frames, best_scores = self._choose(
                frames.astype(np.float32), scores, count=top_k, max_iou=decoding.MAX_TUBE_IOU
            )
        best_frames, best_scores = np.asarray(best_frames).astype(int), np.asarray(best_scores)

        def tube(row, rank):
            best, score = best_frames[row, rank], best_scores[row, rank]
            same = (scores[row] == score) & (frames[row] == best).all(axis=-1)
            number = int(same.argmax()) // per_clip  # of the clip
            begin, end = ranges[number]
            made = tube_from_steps(
                None,
                boxes[number][row],
                frames=tuple(best.tolist()),
                begin=begin,
                end=end,
                width=source.width,
                height=source.height,
                score=float(score),
            )
            return queries.in_file_frames(made, source, clips[number], sentences[row])

        return [
            [tube(row, rank) for rank in range(top_k) if best_scores[row, rank] >= 0]
            for row in range(len(sentences))
        ]

    def _read_clips(self, video, ranges):
        """Features and step masks of clips, on the device of the model."""
        features, step_masks = zip(
            *(video.clip_inputs(begin, end, self.max_steps) for begin, end in ranges), strict=True
        )
        return {
            "features": tf.constant(np.stack(features)),
            "step_mask": tf.constant(np.stack(step_masks)),
        }

    def _find_tubes(self, inputs):
        """Returns all segments `[B, Q, M, 2]`, scores `[B, Q, M]` and boxes `[B, Q, T, 4]`."""
        outputs = self.model(inputs, training=False)
        return (
            *self.model.segments(inputs, outputs),
            self.model.decode(inputs, outputs)["boxes"],
        )

    def __repr__(self):
        name = self.about.get("name", type(self.model).__name__)
        return f"VideoGrounder({name!r}, {self.model.count_params():,} parameters)"


def _advance(bar) -> Callable[[int, int], None]:
    """Returns a callback that sets a progress bar to `done` of `total` (0 if unknown)."""

    def advance(done: int, total: int) -> None:
        bar.total = max(total, done) if total else None
        bar.update(done - bar.n)

    return advance
