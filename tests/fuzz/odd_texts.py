"""Texts as nobody writes them, and as somebody does: letters, marks, controls, tokens, repetitions."""

SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|audio_pad|>", "<|audio_start|>", "<|audio_end|>"),
    *("<timestamp>", "<asr_text>", "<|vision_pad|>", "<tool_call>", "<think>", "<non_speech>", "<|object_ref_start|>"),
)
LETTERS = "aZé'’ß0ñЖя你好こカ한국어ไทยहिंदीعربי"
MARKS = "\u0301\u0300\u0327\u0e31\u093f\u05b0\u20dd"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u202e\u202d\u2066\u2069\u00ad\u180e\U000e0001\U000e007f"
CONTROLS = "\0\x01\x07\x08\x1b\x7f\x85\ufdd0\ufffe\ufffd\U0010ffff\ue000"
SPACES = " \t\n\r\u00a0\u2028\u2029\u3000\x0b\x0c\x1c"
WIDE = "ﬁŉǰΐﷺ㌀①½ÀＡｶﾞ가\U0001f468\u200d\U0001f469\U00020000"
SURROGATES = "\ud800\udfff\udc80"
PUNCTUATION = '.,;!?…—-–«»()[]{}<>|&%#@/\\"*_~`^'


def piece(random):
    """A few characters of one kind, rarely many."""
    kind = random.randrange(12)
    if kind == 0:
        return random.choice(SPECIAL)
    if kind == 1:
        broken = random.choice(SPECIAL)
        return broken[: random.randrange(len(broken))]
    if kind == 2:
        return random.choice(["I", "one", "dont", "don't", "well-known", "Mr.", "e.g.", "3.14", "U.S.A."])
    alphabet = random.choices(
        (LETTERS, MARKS, INVISIBLE, CONTROLS, SPACES, WIDE, PUNCTUATION, SURROGATES), (8, 3, 3, 2, 4, 3, 3, 0.3)
    )[0]
    count = random.choice((1, 1, 2, 3, 5, 8, 40)) if random.random() < 0.98 else random.choice((200, 1000, 5000))
    if random.random() < 0.3:
        return random.choice(alphabet) * count
    return "".join(random.choice(alphabet) for _ in range(count))


def text(random, pieces=12):
    """A text of up to `pieces` pieces, with spaces between some of them."""
    return "".join(piece(random) + random.choice(("", " ", " ")) for _ in range(random.randint(0, pieces)))
