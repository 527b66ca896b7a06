"""Training as a film: what reaches each layer, epoch by epoch, played on the picture of the layers."""
