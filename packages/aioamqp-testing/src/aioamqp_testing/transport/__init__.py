"""Connections to a broker: transports in memory, the server protocol, and link faults."""
