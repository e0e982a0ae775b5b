"""Object colours of the shapes data set: RGB values by name."""

COLOURS = {
    "red": (225, 35, 35),
    "green": (35, 185, 60),
    "blue": (45, 75, 235),
    "yellow": (240, 220, 40),
    "purple": (170, 50, 205),
    "white": (245, 245, 245),
}
