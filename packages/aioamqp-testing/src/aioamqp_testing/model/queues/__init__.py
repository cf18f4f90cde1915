"""Queues of all types, their consumers, limits and dead letters."""
