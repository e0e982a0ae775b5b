r"""Prints measurements of benchmarks.device as one Markdown table.

Example:
    python -m benchmarks.table gpu.jsonl cpu.jsonl

Times are in seconds; `CPU` is the CPU time of the process. The share of the ceiling compares the
rate with that of a large matrix product in the same dtype and process.
"""

import json

from gkcmn_tf import program

RATES = {"gflop_per_second": "GFLOP/s", "windows_per_second": "windows/s", "gb_per_second": "GB/s"}
HEADER = (
    "| measurement | dtype | first | median | CPU | runs | rate | of ceiling | peak MiB |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|"
)


def main(argv):
    """Reads the files and prints the table."""
    print(table(argv[1:]))


def table(paths: list[str]) -> str:
    """Creates the table from files of JSON lines.

    Raises:
        ValueError: no files are given, or a line is not a measurement of `benchmarks.device`.
        FileNotFoundError: a file does not exist.
    """
    if not paths:
        raise ValueError("expected files of benchmarks.device --output")
    lines, machine = [HEADER], None
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    measured = json.loads(text)
                    cells, now = row(measured), machine_name(measured)
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(
                        f"{path}, line {number}: expected a measurement of benchmarks.device"
                    ) from error
                if now != machine:
                    lines.append(f"| **{now}** |" + " |" * (len(cells) - 1))
                    machine = now
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine_name(measured: dict) -> str:
    """Device, versions and date of a measurement."""
    return (
        f"{measured['device']}, TensorFlow {measured['tensorflow']}, Keras {measured['keras']}, "
        f"{measured['date']}"
    )


def row(measured: dict) -> list[str]:
    """Cells of a measurement."""
    share = measured.get("share_of_ceiling")
    return [
        measured["what"],
        measured.get("dtype", ""),
        *(digits(measured[name]) for name in ("first_seconds", "seconds", "cpu_seconds")),
        str(measured["runs"]),
        ", ".join(
            f"{digits(measured[key])} {unit}" for key, unit in RATES.items() if key in measured
        ),
        "" if share is None else f"{100 * share:.0f} %",
        digits(measured["peak_memory_mib"]),
    ]


def digits(value: float) -> str:
    """The value with three digits, or more before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    program.run(main)
