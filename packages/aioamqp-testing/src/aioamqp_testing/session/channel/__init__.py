"""The broker's side of one channel."""
