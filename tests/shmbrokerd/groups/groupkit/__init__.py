"""What the tests of groups share."""
