"""The same chaos on virtual time, in one process: a seed decides every await, so that thousands of them are cheap."""
