"""`python -m transformers_qwen3_asr` is the command `qwen3-asr`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
