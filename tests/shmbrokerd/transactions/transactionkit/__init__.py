"""What the tests of transactions share."""
