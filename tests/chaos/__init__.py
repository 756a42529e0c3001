"""Everything that can go wrong, at once, by the throw of a seeded die; and an auditor who reads what came of it."""
