"""Programs that turn a data set's own files into the records that GKCMN trains on."""

import sys

if sys.argv[0] == "-m":  # `python -m PROGRAM` before it imports anything; see gkcmn_tf.program
    from gkcmn_tf import program

    program.start()
