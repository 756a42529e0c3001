"""The default scheduler of the stand-in cluster: the real one's filters, preferences and words."""
