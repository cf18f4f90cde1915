"""Output of ``python -m aioamqp_testing``."""
