"""Runs the test files that it is given under pytest: what every `py_test` in BUILD starts."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:]))
