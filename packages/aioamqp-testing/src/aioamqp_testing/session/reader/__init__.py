"""Bytes to commands, with RabbitMQ's reply texts for what cannot be read."""
