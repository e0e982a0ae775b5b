"""The shapes data set: scene generation, rendering and sentences."""
