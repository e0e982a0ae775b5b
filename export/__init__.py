"""Programs that export a trained model for serving and deployment."""

import sys

if sys.argv[0] == "-m":  # `python -m PROGRAM` before it imports anything; see gkcmn_tf.program
    from gkcmn_tf import program

    program.start()
