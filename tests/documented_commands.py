"""Commands in the documentation that its tests do not run as written, with the reason.

A command matches the longest key that it begins with. `RUN_HERE` are run as written by
test_documented_commands. `RUN_BY` names the test that runs the program in the same way, on smaller
data and with other paths. `NOT_RUN` are run by no test.
"""

RUN_HERE = (
    "gkcmn export onnx",
    "gkcmn export run-tflite",
    "gkcmn export tflite",
    "gkcmn ground --sample",
    "gkcmn ground --video=gkcmn_tf/samples/",
    "python -m gkcmn_tf.evaluate --ground_truth=runs/demo/gt.json",
    'python -c "import numpy;',
)

PROGRAMS = "tests/gkcmn_tf/test_programs.py"
PRESET = f"{PROGRAMS}::test_an_exported_preset_gives_the_results_of_its_run"
OWN_DATA = "tests/gkcmn_tf/test_own_data.py::test_documented_commands_train_a_model_that_grounds"
RUN_BY = {
    "gkcmn export preset": PRESET,
    "gkcmn export saved-model": (
        "tests/export/test_saved_model.py::test_the_program_with_the_real_i3d"
    ),
    "gkcmn ground --preset=runs/presets/": PRESET,
    "gkcmn cut": "tests/gkcmn_tf/test_cut.py",
    "gkcmn index": "tests/gkcmn_tf/test_index.py",
    "gkcmn search": "tests/gkcmn_tf/test_index.py",
    "gkcmn web": "tests/export/test_web.py",
    "make docs": "tests/test_site.py::test_the_site_is_built_without_warnings",
    "python -m data.convert_records": "tests/data/test_convert_records.py",
    "python -m data.inspect": "tests/data/test_inspect.py::test_the_program",
    "python -m data.prepare --annotations_only": "tests/data/test_prepare.py",
    "python -m data.prepare --dataset=custom": OWN_DATA,
    "python -m data.prepare --dataset=custom --annotation_dir=my_data --annotations_only": (
        "tests/data/test_prepare.py"
    ),
    "python -m data.shapes_oracle": "tests/data/test_shapes_oracle.py",
    "python -m export.web": "tests/export/test_web.py",
    "python -m gkcmn_tf.evaluate --ground_truth=runs/long/": "tests/gkcmn_tf/test_evaluate.py",
    "python -m gkcmn_tf.ground --preset=runs/own": OWN_DATA,
    "python -m gkcmn_tf.i3d classify": "tests/gkcmn_tf/i3d/test_classify.py",
    "python -m gkcmn_tf.train --config_file=configs/own.yaml": OWN_DATA,
    "python -m gkcmn_tf.train --config_file=configs/shapes.yaml --config_file=configs/ablations/"
    "without_br.yaml": (
        "tests/test_contributing.py::test_the_documented_command_trains_the_ablation"
    ),
    "saved_model_cli": "tests/export/test_saved_model.py",
}

VIDEOS = "needs the videos of the data set, which cannot be distributed"
DEMO = f"takes 20 minutes on two cores; {PROGRAMS} runs its steps on ten videos"
CLUSTER = "needs several machines; tests/data/test_dask_cluster.py starts two workers on one"
NOT_RUN = {
    "#!/bin/bash": "needs a Slurm cluster; tests/gkcmn_tf/test_train.py trains with two workers",
    "PYTHONPATH=. tfds build vidstg": (
        "needs the records of VidSTG; tests/data/test_tfds_builders.py builds small ones"
    ),
    "PYTHONPATH=. dask worker": CLUSTER,
    "PYTHONPATH=. dask scheduler": CLUSTER,
    "docker compose": (
        "needs Docker and TensorFlow Serving; tests/export/test_serving.py reads its files"
    ),
    "gkcmn export client": (
        "needs a model server; tests/export/test_client.py starts one in its process"
    ),
    "gkcmn ground --video=runs/joined/": "needs the ten minutes of video of the line before",
    "make .venv/ready": "installs 4 GB; CI runs it",
    "make build-files": "changes the source; tests/test_build.py compares what it writes",
    "make demo": DEMO,
    "make lint": "part of make test",
    "make test": "CI runs it",
    "pytest tests/gkcmn_tf/modeling": "part of make test",
    "python -m benchmarks.long_videos": "takes 20 minutes or, with an hour of video, hours",
    "python -m data.make_shapes --output_dir=runs/demo/shapes": f"part of make demo: {DEMO}",
    "python -m data.make_shapes --setting=joined": (
        "takes 5 minutes; tests/data/shapes/test_joined.py writes fewer scenes"
    ),
    "python -m data.make_shapes --setting=long": (
        "takes an hour; tests/data/shapes/test_long_records.py writes fewer videos"
    ),
    "python -m data.prepare ... --runner=DaskRunner": CLUSTER,
    "python -m data.prepare ... --runner=FlinkRunner": "needs Flink and Java",
    "python -m data.prepare ... --runner=SparkRunner": "needs Spark and Java",
    "python -m data.prepare --dataset=hcstvg": f"{VIDEOS}; tests/data/test_prepare.py has its own",
    "python -m data.prepare --dataset=vidstg": f"{VIDEOS}; {PROGRAMS} prepares shapes",
    "python -m gkcmn_tf.evaluate --model_dir=runs/hcstvg": VIDEOS,
    "python -m gkcmn_tf.evaluate --model_dir=runs/vidstg": VIDEOS,
    "python -m gkcmn_tf.evaluation.paper_tables": (
        "trains many models; tests/gkcmn_tf/evaluation/test_paper_tables.py trains small ones"
    ),
    "python -m gkcmn_tf.train --config_file=configs/hcstvg.yaml": VIDEOS,
    "python -m gkcmn_tf.train --config_file=configs/shapes.yaml --params_override": DEMO,
    "python -m gkcmn_tf.train --config_file=configs/shapes.yaml --model_dir=runs/glove": (
        "takes 10 minutes; tests/gkcmn_tf/text/test_glove.py reads the vectors"
    ),
    "python -m gkcmn_tf.train --config_file=configs/vidstg.yaml": VIDEOS,
    "python -m gkcmn_tf.train --experiment=mixed_bm": (
        "takes 10 minutes; tests/test_contributing.py builds the model"
    ),
}

# First lines of blocks without a language that are not commands.
NOT_COMMANDS = (
    "Zeyu Xiong",
    "video,sentence,",
    "videos/GROUP/",
)

# Pages whose Python is run, or why it is not.
PYTHON_RUN_HERE = ("README.md", "docs/presets.md")
PYTHON_RUN_BY = {
    "CONTRIBUTING.md": "tests/test_contributing.py",
    "docs/data_sets.md": "tests/data/test_tfds_builders.py",
    "docs/search.md": "tests/gkcmn_tf/indexing/test_searching.py",
    "docs/training.md": f"{PROGRAMS}::test_the_notebook_runs",
}
