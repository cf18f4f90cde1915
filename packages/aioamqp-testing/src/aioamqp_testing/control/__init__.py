"""Control of a broker by a test: administration, actions, assertions, inspection and waiting."""
