"""A tape as a fast program: recorded once, optimised, and run without recording."""
