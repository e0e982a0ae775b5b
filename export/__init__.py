"""Programs that turn a trained run into something others can serve."""

import sys

if sys.argv[0] == "-m":  # `python -m PROGRAM` before it imports anything; see gkcmn_tf.program
    from gkcmn_tf import program

    program.start()
