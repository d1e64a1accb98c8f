"""``python -m ctl_helpers``."""

import sys

from ctl_helpers.cli import main

if __name__ == "__main__":
    sys.exit(main())
