"""
An aligner behind HTTP, as OpenAI's API has it. Needs the extra `serve` (FastAPI, uvicorn, python-multipart).

- `app`: the endpoints; `gate`: who comes in, with how much, and for how long; `errors`: what is said else
- `uploads`: what is looked at before a request waits; `batching`: the one thread that owns the model
"""
