"""The calls of a channel, a class for each class of AMQP; ``Channel`` is made of them."""
