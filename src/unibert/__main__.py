"""`python -m unibert`, and what `torchrun -m unibert` starts."""

from unibert.cli import main

if __name__ == "__main__":
    main()
