"""Entry point of ``python -m skin_lesions``."""

from skin_lesions.cli import main

if __name__ == "__main__":
    main()
