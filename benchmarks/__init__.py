"""What a step costs: the workloads, every peer on them, the limit. ``make bench`` runs it; docs/speed.md says how."""
