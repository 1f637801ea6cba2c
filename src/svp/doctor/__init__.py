"""What this installation can do, what it lacks and how to get it. Nothing heavy is imported before it is examined."""
