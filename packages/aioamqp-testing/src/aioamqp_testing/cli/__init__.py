"""The screens of ``python -m aioamqp_testing``."""
