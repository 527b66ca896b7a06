"""How well a colour reads on another, as the web's accessibility guidelines measure it (WCAG 2, relative luminance)."""


def luminance(colour):
    """Of "#rrggbb"."""
    parts = [v / 255 for v in bytes.fromhex(colour[1:7])]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    """From 1 to 21; text needs 4.5."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)
