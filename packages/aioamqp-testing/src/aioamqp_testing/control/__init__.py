"""What a test does to a broker and asks of it: administration, publishing, assertions, waiting."""
