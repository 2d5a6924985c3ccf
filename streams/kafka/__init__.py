"""Kafka clients: topics, logs, producers, followers, security, administration."""
