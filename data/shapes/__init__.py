"""The shapes data set: scenes, how they are drawn, and what is said of them."""
