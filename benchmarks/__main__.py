# Child processes import this module again under another name: nothing heavy may stand outside the guard,
# it would count as their memory.
if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["soak"]:
        from benchmarks.soak.cli import main as soak

        sys.exit(soak(sys.argv[2:]))
    from benchmarks.cli import main

    sys.exit(main(sys.argv[1:]))
