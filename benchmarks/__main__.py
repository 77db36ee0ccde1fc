# Child processes import this module again under another name: nothing heavy may stand outside the guard,
# it would count as their memory.
if __name__ == "__main__":
    import sys

    from benchmarks.cli import main

    sys.exit(main(sys.argv[1:]))
