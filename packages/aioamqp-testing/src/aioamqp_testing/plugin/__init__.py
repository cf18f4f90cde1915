"""What the pytest plugin needs beside the fake: a real RabbitMQ, an event loop in a thread."""
