"""The AMQP 0-9-1 protocol and RabbitMQ's extensions as XML, with a loader."""
