"""`qwen3-asr serve`: an aligner and a recogniser behind HTTP."""

import argparse
import ipaddress
import os
import socket
import sys
from contextlib import suppress

from .common import (
    DECODINGS,
    DEFAULT_MODEL,
    InputError,
    add_device_options,
    complain,
    ended_in_order,
    load_aligner,
    load_recogniser,
    note,
    one_line,
    positive,
)

KEY_VARIABLE = "QWEN3_ASR_API_KEY"
EPILOG = f"""\
endpoints: POST /v1/audio/alignments       file and text in (multipart), words with times out
           POST /v1/audio/transcriptions   as OpenAI's, with the times of words; needs --asr-model
           GET /health, GET /metrics       the latter for Prometheus
key:       clients send "Authorization: Bearer KEY". {KEY_VARIABLE} is better than --api-key, which others
           of this machine can see.
end:       SIGTERM or Ctrl-C: what was taken is finished first; a second one does not wait.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "serve",
        help="serve alignments and transcriptions over HTTP, as OpenAI's API is",
        description="Serve alignments and transcriptions over HTTP, as OpenAI's API is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="the aligner: hub name, folder, or tiny-en (default: %(default)s)"
    )
    parser.add_argument(
        "--asr-model", metavar="MODEL", help="serve transcriptions, too, by this recogniser: hub name or folder"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: %(default)s, this machine)"
    )
    parser.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--api-key", metavar="KEY", help=f"serve those who send it (default: {KEY_VARIABLE}, if set)")
    parser.add_argument(
        "--max-upload-mb", type=positive, default=100, metavar="N", help="of a request (default: %(default)s)"
    )
    parser.add_argument(
        "--max-audio-seconds", type=positive, default=3600, metavar="N", help="of a recording (default: %(default)s)"
    )
    parser.add_argument(
        "--max-requests", type=positive, default=128, metavar="N", help="at once, waiting too (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=positive, default=600, metavar="SECONDS", help="of a request (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="recordings at once (default: 8)")
    parser.add_argument(
        "--decoding", choices=DECODINGS, default=DECODINGS[0], help="joint (default), or as qwen-asr does: argmax"
    )
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_const",
        const=False,
        help="do not hear doubtful words again in short windows: faster, and a little less exact",
    )
    add_device_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is told to end. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    try:
        with ended_in_order():
            return _serve(arguments)
    except (ValueError, ImportError) as error:  # InputError is one
        return complain("serve", one_line(error))


def _serve(arguments: argparse.Namespace) -> int:
    key = os.environ.get(KEY_VARIABLE) or None if arguments.api_key is None else arguments.api_key
    if key is not None and (not key.isascii() or not key.isprintable() or not key.strip() or key != key.strip()):
        raise InputError(f"--api-key or {KEY_VARIABLE}: it must be ASCII without white space around it, and not empty")
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401  FastAPI asks for it late
        import uvicorn

        from ..serving.app import create_app
        from ..serving.gate import Limits
    except ImportError as error:
        if error.name not in ("fastapi", "prometheus_client", "python_multipart", "starlette", "uvicorn"):
            raise
        needed = "FastAPI, uvicorn, python-multipart and prometheus-client"
        raise ImportError(f"serving needs {needed}: pip install 'transformers-qwen3-asr[serve]'") from error
    limits = Limits(
        upload_bytes=arguments.max_upload_mb * 2**20,
        audio_seconds=arguments.max_audio_seconds,
        requests=arguments.max_requests,
        request_seconds=arguments.timeout,
    )
    with _bound(arguments.host, arguments.port) as listening:
        refine = {} if arguments.refine is None else {"refine": arguments.refine}
        pipe = load_aligner(arguments.model, arguments.dtype, arguments.device, decoding=arguments.decoding, **refine)
        recognised = {}
        if arguments.asr_model is not None:
            # greedy, whatever the model's generation config says: what temperature=0 asks for
            greedy = {"generate_kwargs": {"do_sample": False}}
            recogniser = load_recogniser(
                arguments.asr_model, arguments.dtype, arguments.device, option="--asr-model", **greedy
            )
            recognised = {"recogniser": recogniser, "asr_model": arguments.asr_model}
        settings = {"limits": limits, "batch_size": arguments.batch_size, "api_key": key}
        app = create_app(pipe, arguments.model, **recognised, **settings)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="on", ws="none", server_header=False
        )
        address = _address(listening)
        if key is None and not ipaddress.ip_address(listening.getsockname()[0]).is_loopback:
            note("serve", f"whoever reaches {address} is served: there is no API key")
        models = " and ".join(filter(None, (arguments.model, arguments.asr_model)))
        print(f"qwen3-asr serve: {models} at {address}", file=sys.stderr, flush=True)
        with suppress(KeyboardInterrupt):  # how a server ends; uvicorn raises it when all is finished
            uvicorn.Server(config).run(sockets=[listening])
    return 0


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has its address before the model is loaded, and listens when uvicorn does so."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host}: {one_line(error)}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise InputError(f"--host {host} --port {port}: {error.strerror or error}") from error
    return bound


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port(value: str) -> int:
    number = int(value)
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"{value} is no port")
    return number
