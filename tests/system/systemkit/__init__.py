"""What the tests of the whole share: children, conditions, raw clients, traces of what is left behind."""
