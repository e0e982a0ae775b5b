r"""TensorFlow Datasets builders for records written by `data.prepare`.

Example:
    PYTHONPATH=. tfds build vidstg --imports=data.tfds_builders \
        --manual_dir=runs/vidstg/records --data_dir=runs/tfds

A builder copies the records, one example per sentence. Annotations are parsed and filtered only by
`data.prepare`. Once a data set is built, `tfds.load` does not need this project. Features stay in
the records folder, one file per video; `features_file` is the file's path.
"""

import os
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from gkcmn_tf import tubes
from gkcmn_tf.features import feature_records
from gkcmn_tf.files import read_json
from gkcmn_tf.records import clip_records


class _RecordsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Sentences with their clips and tubes. Segments are half-open, in frames; boxes in pixels.

    Raises:
        FileNotFoundError: while building, if the manual folder is not a records folder.
        ValueError: while building, if the records belong to another data set.
    """

    VERSION = tfds.core.Version(f"{clip_records.SCHEMA_VERSION}.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download the data set, convert it to records with data.prepare, and use the records "
        "folder as manual folder: `tfds build --manual_dir=RECORDS`, or "
        "`tfds.download.DownloadConfig(manual_dir=RECORDS)`."
    )
    DATASET: str  # value of data.prepare's --dataset
    SUMMARY: str
    HOMEPAGE: str
    CITATION: str | None = None

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(doc="Unique id of the sentence."),
            "index": tfds.features.Scalar(np.int64, doc="Index of the sentence in the split."),
            "text": tfds.features.Text(),
            "qtype": tfds.features.ClassLabel(names=tubes.QTYPES),
            "target_id": tfds.features.Scalar(np.int64, doc="Id of the target's trajectory."),
            "segment": tfds.features.Tensor(
                shape=(2,),
                dtype=np.int64,
                doc="Ground-truth segment [begin, end), in frames of the video.",
            ),
            "boxes": tfds.features.Tensor(
                shape=(None, 4),
                dtype=np.float32,
                doc="Boxes x1 y1 x2 y2 in pixels, for each frame of the segment.",
            ),
            "clip": tfds.features.Tensor(
                shape=(2,), dtype=np.int64, doc="Clip to search [begin, end), in frames."
            ),
            "video_id": tfds.features.Text(),
            "fps": tfds.features.Scalar(np.float32, doc="Frame rate, in frames per second."),
            "width": tfds.features.Scalar(np.int64, doc="Frame width, in pixels."),
            "height": tfds.features.Scalar(np.int64, doc="Frame height, in pixels."),
            "frame_count": tfds.features.Scalar(np.int64, doc="Number of decodable frames."),
            "features_file": tfds.features.Text(
                doc="Path of the video's feature file, relative to the records folder."
            ),
        }
        return self.dataset_info_from_configs(
            description=self.SUMMARY,
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager):
        folder = os.fspath(dl_manager.manual_dir)
        path = os.path.join(folder, clip_records.MANIFEST)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such file. {self.MANUAL_DOWNLOAD_INSTRUCTIONS}")
        manifest = read_json(path)
        if manifest["dataset"] != self.DATASET:
            names = {builder.DATASET: builder.name for builder in (Vidstg, Hcstvg, GkcmnCustom)}
            raise ValueError(
                f"{path}: records of data set {manifest['dataset']!r}, expected {self.DATASET!r}; "
                f"build {names.get(manifest['dataset'])!r}, or use another --manual_dir"
            )
        return {
            split: self._generate_examples(folder, split)
            for split, counts in manifest["splits"].items()
            if counts["sentences"]["kept"]  # TFDS does not support empty splits
        }

    def _generate_examples(self, folder: str, split: str) -> Iterator[tuple[str, dict]]:
        for clip in clip_records.read_clips(folder, split):
            for sentence in clip.sentences:
                yield (
                    sentence.id,
                    {
                        "id": sentence.id,
                        "index": sentence.index,
                        "text": sentence.text,
                        "qtype": sentence.qtype,
                        "target_id": sentence.target_id,
                        "segment": [sentence.begin, sentence.end],
                        "boxes": sentence.boxes,
                        "clip": [clip.begin, clip.end],
                        "video_id": clip.video_id,
                        "fps": clip.fps,
                        "width": clip.width,
                        "height": clip.height,
                        "frame_count": clip.frame_count,
                        "features_file": feature_records.features_file(clip.video_id),
                    },
                )


class Vidstg(_RecordsBuilder):
    """VidSTG: sentences about VidOR's videos."""

    DATASET = "vidstg"
    HOMEPAGE = "https://github.com/Guaranteer/VidSTG-Dataset"
    CITATION = """@inproceedings{zhang2020where,
  title = {Where Does It Exist: Spatio-Temporal Video Grounding for Multi-Form Sentences},
  author = {Zhang, Zhu and Zhao, Zhou and Zhao, Yang and Wang, Qi and Liu, Huasheng and
            Gao, Lianli},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2020}
}"""
    SUMMARY = "VidSTG: statements and questions about objects in VidOR's videos, with their tubes."


class Hcstvg(_RecordsBuilder):
    """HC-STVG: sentences about people in films."""

    DATASET = "hcstvg"
    HOMEPAGE = "https://github.com/tzhhhh123/HC-STVG"
    CITATION = """@article{tang2021human,
  title = {Human-centric Spatio-Temporal Video Grounding With Visual Transformers},
  author = {Tang, Zongheng and Liao, Yue and Liu, Si and Li, Guanbin and Jin, Xiaojie and
            Jiang, Hongxu and Yu, Qian and Xu, Dong},
  journal = {IEEE Transactions on Circuits and Systems for Video Technology},
  year = {2021}
}"""
    SUMMARY = "HC-STVG: statements about people in clips of films, with their tubes."


class GkcmnCustom(_RecordsBuilder):
    """Custom videos and sentences, in the format of `data.custom`."""

    DATASET = "custom"
    HOMEPAGE = "about:blank"  # the default would be a nonexistent page of the TFDS catalog
    SUMMARY = "Custom sentences about custom videos, with their tubes."
