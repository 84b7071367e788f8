"""`python -m mmsdk` and `torchrun -m mmsdk`."""

from mmsdk.cli import main

if __name__ == "__main__":
    main()
