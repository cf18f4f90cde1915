"""One channel inside the client: its requests, consumers, publisher confirms and its end."""
