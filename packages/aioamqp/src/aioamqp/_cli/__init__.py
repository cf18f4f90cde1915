"""The commands of ``python -m aioamqp``."""
