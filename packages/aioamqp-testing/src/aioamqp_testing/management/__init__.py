"""RabbitMQ's management API over HTTP: what its routes answer, and the server."""
