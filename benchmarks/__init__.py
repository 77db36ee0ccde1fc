"""End-to-end benchmarks: this broker and its alternatives on the same work in the same run (`make bench`)."""
