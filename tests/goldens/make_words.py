"""Write words.json: how qwen-asr cuts transcripts into words.

Run in an environment of its own with qwen-asr==0.0.6 (which pins transformers 4.57.6):

    python tests/goldens/make_words.py

Texts are the lists below and random strings (seed 0) over characters of many scripts. Korean is cut with the
dictionary that qwen-asr ships; of that, words.json keeps the entries that begin a word of these texts, which are the
only ones that can matter to them.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path

from qwen_asr.inference.qwen3_forced_aligner import Qwen3ForceAlignProcessor

TEXTS = {
    "English": [
        "Don't panic: it's 42, isn't it?",
        "rock-n-roll, state-of-the-art e-mail; well... OK!",
        "Mr. O'Neill's 3.14 (approx.) costs $5.99 & 20% off",
        "'quoted' ‘curly’ it’s \"double\" `back`",
        "tabs\tand\nnew\r\nlines\u00a0no-break\u3000wide\u200bzero\u2009thin",
        "  leading and trailing  ",
        "a,b;c good,bad x/y and/or 1/2 ½ ² Ⅷ ①",
        "C++ C# .NET @home #tag http://example.com/a?b=c user@example.com",
        "emoji 😀 👩‍👩‍👧 flag 🇩🇪 thumbs👍up",
        "under_score snake_case ~tilde^caret |pipe| <timestamp> <|audio_pad|> {brace} [x]",
        "naïve café façade Ångström Straße ﬁne ŉ",
        "--- ... !!! ' '' '''",
        "1,000,000 12:30 2024-01-31 +49-30-123",
        "",
        " \n ",
    ],
    "Chinese": [
        "甚至出现交易几乎停滞的情况。今天下午3点开会，OK吗？",
        "我用iPhone15 Pro拍了照片abc好de",
        "他說：「你好！」《書名》——破折號……",
        "㐀㐁 extension 𠀀𪛖 compat 豈更 and 你 好",
        "２０２４年１月 ＡＢＣ ｶﾀｶﾅ",
        "𬻞 𫝀 𰀀 丽 〇 々 〆 ヶ",
    ],
    "Cantonese": ["我哋今日去邊度食飯呀？", "佢話：「唔該晒」，OK啦"],
    "French": ["L'été, c'est l'heure d'aller à l'école – n'est-ce pas ?", "Aujourd’hui, 1er janvier : «Bonjour»"],
    "German": ["Größe über Maß, z.B. 3,5 km/h – Donaudampfschifffahrt!", "„Guten Tag“, sagte er."],
    "Italian": ["Perché no? Cos'è un'idea così?", "L'anno '68 e gli anni ’70"],
    "Portuguese": ["Não há mal que sempre dure, nem bem que não se acabe.", "guarda-chuva, às 10h30, R$ 5,00"],
    "Russian": ["Всё хорошо, что хорошо кончается!", "кое-что из-за №5 ёлка"],
    "Spanish": ["¿Dónde está la biblioteca? ¡Mañana será otro día!", "pingüino n.º 1 1.ª"],
    "Japanese": [
        "今日はいい天気ですね。散歩に行きましょうか？",
        "私はｶﾀｶﾅとＡＢＣ１２３が好きです！",
        "「すみません」と彼は言った。東京タワーへ3回行った",
        "コーヒーを ひとつ ください",
        "がぎぐげご",
        "ば　ん・ざ〜い♪ www",
        "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
        "Hello worldと言う",
        "㈱トヨタ ㍿ ㌔ ①②",
        "はい。",
    ],
    "Korean": [
        "오늘 날씨가 정말 좋네요. 산책하러 갈까요?",
        "나는 학교에 갑니다. 대한민국의 수도는 서울입니다!",
        "제 이름은 김철수이고, 2024년에 서울대학교를 졸업했습니다.",
        "iPhone을 샀어요 (정말로) ㅋㅋㅋ ㅠㅠ",
        "커피 한 잔 주세요, 감사합니다~",
        "그래서…어떻게 됐어요?",
        "",
    ],
    "Arabic": ["مرحبا بالعالم، كيف حالك؟ ١٢٣", "قال: «نعم»"],
    "Persian": ["می‌خواهم به خانه بروم"],
    "Greek": ["Καλημέρα κόσμε! Τι κάνεις; όχι, ναι·"],
    "Vietnamese": ["Xin chào thế giới, hôm nay trời đẹp quá!"],
    "Turkish": ["İstanbul'da Iğdır'a gidiyoruz, çok güzel!"],
    "Polish": ["Zażółć gęślą jaźń; źdźbło!"],
    "Georgian": ["გამარჯობა, მსოფლიო!"],
    "Hebrew": ['שלום עולם! צה"ל'],
    "Ethiopic": ["ሰላም፡ልዑል፡እንዴት ነህ?"],
    "Tibetan": ["བོད་ཡིག"],
    # texts with combining marks: qwen-asr drops them
    "Hindi": ["नमस्ते दुनिया, आप कैसे हैं? क्‍ष १२३", "हिन्दी में — बात करें।"],
    "Thai": ["สวัสดีครับ วันนี้อากาศดีมาก ๑๒๓"],
    "Tamil": ["வணக்கம் உலகம்!"],
    "Decomposed": [
        "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
        "\u0301leading mark and - \u0301stray",
        "\u304b\u3099\u304d\u3099",
    ],
    "Pointed": ["שָׁלוֹם עֲלֵיכֶם", "بِسْمِ ٱللَّهِ"],
    "Selectors": ["葛\U000e0100飾 ❤\ufe0f 1\ufe0f\u20e3 ©\ufe0f"],
    "Zalgo": ["H\u0334\u0321e\u0335l\u0336\u0322lo wo\u0337rld"],
}
ALPHABETS = (
    "abcdefgXYZ0189'",
    " .,-!?\"'()…—\t\u00a0\u3000\u200b",
    "你好世界豈㐀𠀀〇々",
    "あいウエーｱﾊﾞ",
    "가나다ㅋ",
    "éñßøĳΩЖא٣",
    "\u0301\u0327\u093f\u094d\u0e31\ufe0f\u20e3",
    "😀€½²Ⅷ\u200d\u2019",
)


def random_texts(count: int = 150) -> list[str]:
    rng = random.Random(0)
    texts = []
    for _ in range(count):
        alphabets = rng.sample(ALPHABETS, rng.randint(1, len(ALPHABETS)))
        texts.append("".join(rng.choice(rng.choice(alphabets)) for _ in range(rng.randint(1, 30))))
    return texts


def main() -> None:
    processor = Qwen3ForceAlignProcessor()
    cases = [
        {"language": language, "text": text, "words": processor.encode_timestamp(text, language)[0]}
        for language, texts in {**TEXTS, "None": random_texts()}.items()
        for text in texts
    ]
    korean = [token for text in TEXTS["Korean"] for token in text.split()]
    beginnings = {token[:end] for token in korean for end in range(2, len(token) + 1)}
    content = {
        "made_by": f"make_words.py with qwen-asr {version('qwen-asr')}, nagisa {version('nagisa')}, "
        f"soynlp {version('soynlp')}",
        "korean_dictionary": sorted(beginnings & set(processor.ko_score)),
        "cases": cases,
    }
    path = Path(__file__).with_name("words.json")
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(cases)} texts, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
