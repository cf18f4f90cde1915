"""Field values as Erlang terms: equality, printing, and RabbitMQ's texts about arguments."""
