"""What the scheduler and all controllers of the stand-in cluster stand on: watched objects, a keyed queue, one loop."""
