"""Recovery of a ``Connection``: when to connect again, and what to declare then."""
