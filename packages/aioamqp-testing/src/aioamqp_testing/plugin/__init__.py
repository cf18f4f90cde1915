"""Brokers that the pytest plugin serves to tests: the fake one, or a real RabbitMQ."""
