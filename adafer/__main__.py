"""`python -m adafer` is `adafer`."""

from adafer.cli import main

if __name__ == "__main__":
    main()
