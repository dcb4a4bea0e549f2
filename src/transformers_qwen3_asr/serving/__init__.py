"""
An aligner and a recogniser behind HTTP, as OpenAI's API has it. Needs the extra `serve` (FastAPI, uvicorn,
python-multipart, prometheus-client).

- `app`: the endpoints, `transcriptions` that of OpenAI's; `answers`: what they answer
- `gate`: who comes in, with how much, and for how long; `errors`: what is said else; `metrics`: what was counted
- `uploads`: what is looked at before a request waits; `batching`: the one thread that owns the models
"""
