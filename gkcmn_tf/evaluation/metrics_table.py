r"""Prints the metrics of several evaluations as one Markdown table.

Example:
    python -m gkcmn_tf.evaluation.metrics_table \
        GKCMN=runs/demo/metrics.json BM=runs/demo/bm/metrics.json

Each argument is TITLE=FILE, a metrics.json of gkcmn_tf.evaluate. All must be of one protocol.
"""

from gkcmn_tf import program
from gkcmn_tf.evaluation import metrics
from gkcmn_tf.files import read_json


def main(argv):
    """Reads the files and prints the table."""
    print(table(argv[1:]))


def table(arguments: list[str]) -> str:
    """The table of `TITLE=FILE` arguments, over all sentences of each file.

    Raises:
        ValueError: an argument is of another form, or protocols or numbers of sentences differ.
    """
    rows, kinds = {}, {}
    for argument in arguments:
        title, equals, path = argument.partition("=")
        if not equals:
            raise ValueError(f"{argument}: expected TITLE=FILE")
        scores = read_json(path)
        rows[title] = scores["overall"]
        kinds[path] = f"protocol {scores['protocol']}, {scores['sentences']} sentences"
    if len(set(kinds.values())) != 1:
        raise ValueError(f"expected files of one protocol and one split, got {kinds}")
    return f"{kinds.popitem()[1]}\n\n{metrics.format_table(rows)}"


if __name__ == "__main__":
    program.run(main)
