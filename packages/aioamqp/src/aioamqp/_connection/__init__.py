"""One connection inside the client: its handshake, heartbeats, write buffer and read flow."""
