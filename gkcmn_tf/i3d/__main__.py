"""Runs the programs of this folder: `python -m gkcmn_tf.i3d classify`."""

from gkcmn_tf import cli

if __name__ == "__main__":
    cli.main("i3d")
