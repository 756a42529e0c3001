"""One handler for each action: it does that one thing in the world and returns what is to be remembered of it."""
