"""What the scheduler and every controller of the stand-in cluster are built on: watched objects, a keyed queue, one loop."""
