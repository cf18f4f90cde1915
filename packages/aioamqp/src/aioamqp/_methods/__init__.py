"""The methods of ``Channel``, a class for each class of AMQP."""
