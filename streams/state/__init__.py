"""What a partition keeps: rows, their store and changelog, who owns it, what expires."""
