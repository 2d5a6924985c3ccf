"""The whole system once on one machine, and what its policy was worth."""
