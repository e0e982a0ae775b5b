"""Names and shapes of I3D's variables, as in the published Kinetics-400 RGB checkpoint."""

SCOPE = "RGB/inception_i3d/"
KINETICS_400_CLASSES = 400


# Channels of each Mixed block: branch 0 (1x1), branch 1 (1x1, 3x3), branch 2 (1x1, 3x3) and
# branch 3 (1x1 after a pool).
MIXED_WIDTHS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def mixed_units(block: str) -> tuple[str, ...]:
    """Names of the six convolution units of a Mixed block, in the order of `MIXED_WIDTHS`."""
    # The published checkpoint names this one unit differently.
    second_of_branch_2 = "Conv3d_0a_3x3" if block == "Mixed_5b" else "Conv3d_0b_3x3"
    return (
        f"{block}/Branch_0/Conv3d_0a_1x1",
        f"{block}/Branch_1/Conv3d_0a_1x1",
        f"{block}/Branch_1/Conv3d_0b_3x3",
        f"{block}/Branch_2/Conv3d_0a_1x1",
        f"{block}/Branch_2/{second_of_branch_2}",
        f"{block}/Branch_3/Conv3d_0b_1x1",
    )


def variable_shapes(num_classes: int = KINETICS_400_CLASSES) -> dict[str, tuple[int, ...]]:
    """Name and shape of every variable of the RGB I3D, sorted by name."""
    kernels = {
        "Conv3d_1a_7x7": (7, 7, 7, 3, 64),
        "Conv3d_2b_1x1": (1, 1, 1, 64, 64),
        "Conv3d_2c_3x3": (3, 3, 3, 64, 192),
    }
    channels = 192
    for block, (b0, b1_in, b1, b2_in, b2, b3) in MIXED_WIDTHS.items():
        sizes = (1, 1, 3, 1, 3, 1)
        channels_in = (channels, channels, b1_in, channels, b2_in, channels)
        channels_out = MIXED_WIDTHS[block]
        for unit, k, c_in, c_out in zip(
            mixed_units(block), sizes, channels_in, channels_out, strict=True
        ):
            kernels[unit] = (k, k, k, c_in, c_out)
        channels = b0 + b1 + b2 + b3
    shapes = {}
    for unit, kernel in kernels.items():
        shapes[f"{SCOPE}{unit}/conv_3d/w"] = kernel
        for vector in ("beta", "moving_mean", "moving_variance"):
            shapes[f"{SCOPE}{unit}/batch_norm/{vector}"] = kernel[-1:]
    logits = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
    shapes[f"{logits}/w"] = (1, 1, 1, channels, num_classes)
    shapes[f"{logits}/b"] = (num_classes,)
    return dict(sorted(shapes.items()))
