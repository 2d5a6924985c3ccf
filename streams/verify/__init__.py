"""The log held against itself: audit, replay, and the history that results make."""
