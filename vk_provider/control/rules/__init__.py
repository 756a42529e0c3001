"""The rules that `control.decide` lists, by what they are about. Pure.

Each takes the observation and the memory and returns an action, or None where it has no answer.
"""
