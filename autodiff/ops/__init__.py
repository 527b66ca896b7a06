"""The rules, one short file per family, one line per rule: a crib sheet that runs."""
