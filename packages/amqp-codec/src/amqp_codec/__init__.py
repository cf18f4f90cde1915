"""Encodes and decodes AMQP 0-9-1 frames, in RabbitMQ's dialect, without doing any input or output."""
