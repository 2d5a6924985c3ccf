"""A judge model: what it is asked, how its verdicts are read, and what it may cost."""
