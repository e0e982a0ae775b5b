"""The rows of the table of costs."""

from benchmarks import model_costs


def test_a_row_has_operations_and_time_of_several_calls():
    measured = {"parameters": 12345, "gflop": 2.0, "seconds": 0.5, "cpu_seconds": 0.25}
    line = model_costs.row("I3D", measured | {"peak_memory_mib": 1234.5}, times=6.25)
    assert line == "| I3D | 12,345 | 12.5 | 3.12 | 1.56 | 1,234 |"
    batch = {"windows_per_second": 8.0, "seconds": 0.5}
    assert model_costs.windows(batch) == 4
