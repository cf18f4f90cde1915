"""AMQP 0-9-1 client for asyncio and RabbitMQ."""
