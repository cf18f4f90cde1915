"""An in-memory AMQP broker for the tests of applications that use RabbitMQ."""
