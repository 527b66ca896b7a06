"""The loss as a landscape: a plane through the space of all parameters, and the paths that training took."""
