"""Bytes to frames, frames to commands, and RabbitMQ's texts for what cannot be read."""
