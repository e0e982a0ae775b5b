r"""Prints a Markdown table of the metrics of several evaluations.

Example:
    python -m gkcmn_tf.evaluation.metrics_table \
        GKCMN=runs/demo/metrics.json BM=runs/demo/bm/metrics.json

Each argument is TITLE=FILE, where FILE is a metrics.json of gkcmn_tf.evaluate. All files must use
the same protocol.
"""

from collections.abc import Mapping, Sequence

from gkcmn_tf import json_fields, program
from gkcmn_tf.files import read_json
from gkcmn_tf.metric_names import TABLE_METRICS


def main(argv):
    """Reads the files and prints the table."""
    print(table(argv[1:]))


def table(arguments: list[str]) -> str:
    """Creates the table from `TITLE=FILE` arguments.

    Raises:
        ValueError: an argument is malformed, a title occurs twice, a file has no metrics, or
            protocols or numbers of sentences differ.
    """
    if not arguments:
        raise ValueError("expected TITLE=FILE, FILE a metrics.json of gkcmn_tf.evaluate")
    rows, kinds = {}, {}
    for argument in arguments:
        title, equals, path = argument.partition("=")
        if not equals:
            raise ValueError(f"{argument}: expected TITLE=FILE")
        scores = read_json(path)
        means = json_fields.get(scores, "overall")
        if missing := [name for name in TABLE_METRICS if name not in (means or ())]:
            raise ValueError(
                f"{path}: overall: missing {', '.join(missing)}; expected a metrics.json of "
                "gkcmn_tf.evaluate"
            )
        if title in rows:
            raise ValueError(f"{argument}: the title {title!r} occurs twice")
        rows[title] = means
        kinds[path] = f"protocol {scores.get('protocol')}, {scores.get('sentences')} sentences"
    if len(set(kinds.values())) != 1:
        raise ValueError(f"expected files with the same protocol and split, got {kinds}")
    return f"{kinds.popitem()[1]}\n\n{format_table(rows)}"


def format_table(
    rows: Mapping[str, Mapping[str, float | None]],
    *,
    columns: Sequence[str] = TABLE_METRICS,
    intervals: Mapping[str, Mapping[str, Sequence[float]] | None] | None = None,
) -> str:
    """Formats a Markdown table of metrics in percent with two decimals.

    Args:
        rows: metrics by row title, such as `overall` of `evaluate_predictions`.
        columns: names of the metrics to show.
        intervals: confidence intervals `[low, high]` by row title and metric; None for a row
            without intervals.
    """
    intervals = intervals or {}
    cells = [["%", *columns]]
    for title, row in rows.items():
        ends = intervals.get(title) or {}
        cells.append([title, *(_percent(row[name], ends.get(name)) for name in columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in cells]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _percent(value, interval):
    if value is None:
        return "-"
    text = f"{100 * value:.2f}"
    return (
        text if interval is None else f"{text} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
    )


if __name__ == "__main__":
    program.run(main)
