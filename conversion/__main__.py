"""python -m conversion to-hf|to-published SOURCE TARGET [--verify], or verify PUBLISHED HF."""

from __future__ import annotations

import argparse
import resource
import sys

from .convert import to_hf, to_published
from .verify import verify

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_size(text: str) -> int:
    """'5GB' as bytes."""
    unit = UNITS.get(text[-2:].upper())
    try:
        size = int(float(text[:-2]) * unit) if unit else int(text)
    except ValueError:
        size = 0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 5GB, 500MB or a number of bytes")
    return size


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conversion", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, text in (("to-hf", "published layout to -hf"), ("to-published", "-hf layout to published")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("source", help="folder to read")
        verb.add_argument("target", help="folder to write; must be empty or new")
        verb.add_argument(
            "--max-shard-size", type=parse_size, default="5GB", help="most bytes of a file (default 5GB)"
        )
        verb.add_argument("--verify", action="store_true", help="then load both folders and compare their logits")
    verb = verbs.add_parser("verify", help="load both folders and compare their logits")
    verb.add_argument("published")
    verb.add_argument("hf")
    options = parser.parse_args(arguments)
    try:
        if options.verb != "verify":
            convert = to_hf if options.verb == "to-hf" else to_published
            print(convert(options.source, options.target, options.max_shard_size))
            print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.2f} GB")
        if options.verb == "verify":
            print(verify(options.published, options.hf))
        elif options.verify:
            pair = (options.source, options.target) if options.verb == "to-hf" else (options.target, options.source)
            print(verify(*pair))
    except ValueError as error:
        print(f"conversion: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
