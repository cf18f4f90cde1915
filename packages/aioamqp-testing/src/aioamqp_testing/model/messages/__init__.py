"""Messages, the headers that the broker edits, and their history."""
