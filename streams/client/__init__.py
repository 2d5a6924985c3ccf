"""What sends queries and reads answers."""
