"""What joins sessions to clients: transports in memory, TCP servers, and the link between."""
