"""The chat templates of the published and of the -hf checkpoints, character by character.

They are what the models were trained with, and what `save_pretrained` and conversion/ write. Every one renders a
system turn, a user turn that holds nothing but the audio, and the opening of the answer; the -hf aligner's renders the
bare prompt with its slots.
"""

# Published: chat_template.json of the three checkpoints. Assistant turns are not rendered.
PUBLISHED = "\n".join(
    (
        '{%- set ns = namespace(system_text="") -%}',
        "{%- for m in messages -%}",
        "  {%- if m.role == 'system' -%}",
        "    {%- if m.content is string -%}",
        "      {%- set ns.system_text = ns.system_text + m.content -%}",
        "    {%- else -%}",
        "      {%- for c in m.content -%}",
        "        {%- if c.type == 'text' and (c.text is defined) -%}",
        "          {%- set ns.system_text = ns.system_text + c.text -%}",
        "        {%- endif -%}",
        "      {%- endfor -%}",
        "    {%- endif -%}",
        "  {%- endif -%}",
        "{%- endfor -%}",
        "",
        '{%- set ns2 = namespace(audio_tokens="") -%}',
        "{%- for m in messages -%}",
        "  {%- if m.content is not string -%}",
        "    {%- for c in m.content -%}",
        "      {%- if c.type == 'audio' or ('audio' in c) or ('audio_url' in c) -%}",
        '        {%- set ns2.audio_tokens = ns2.audio_tokens + "<|audio_start|><|audio_pad|><|audio_end|>" -%}',
        "      {%- endif -%}",
        "    {%- endfor -%}",
        "  {%- endif -%}",
        "{%- endfor -%}",
        "",
        "{{- '<|im_start|>system\\n' + (ns.system_text if ns.system_text is string else '') + '<|im_end|>\\n' -}}",
        "{{- '<|im_start|>user\\n' + ns2.audio_tokens + '<|im_end|>\\n' -}}",
        "{%- if add_generation_prompt -%}",
        "{{- '<|im_start|>assistant\\n' -}}",
        "{%- endif -%}",
    )
)

# -hf: chat_template.jinja of the two ASR checkpoints; assistant turns are rendered, as training on answers needs it.
HF_ASR = (
    "{%- set ns = namespace(system_text='') -%}"
    "{%- for m in messages -%}"
    "{%- if m.role == 'system' -%}"
    "{%- if m.content is string -%}"
    "{%- set ns.system_text = ns.system_text + m.content -%}"
    "{%- else -%}"
    "{%- for c in m.content -%}"
    "{%- if c.type == 'text' and (c.text is defined) -%}"
    "{%- set ns.system_text = ns.system_text + c.text -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- set ns2 = namespace(audio_tokens='') -%}"
    "{%- for m in messages -%}"
    "{%- if m.content is not string -%}"
    "{%- for c in m.content -%}"
    "{%- if c.type == 'audio' or ('audio' in c) or ('audio_url' in c) -%}"
    "{%- set ns2.audio_tokens = ns2.audio_tokens + '<|audio_start|><|audio_pad|><|audio_end|>' -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{{- '<|im_start|>system\n' + ns.system_text + '<|im_end|>\n' -}}"
    "{{- '<|im_start|>user\n' + ns2.audio_tokens + '<|im_end|>\n' -}}"
    "{%- for m in messages -%}"
    "{%- if m.role == 'assistant' -%}"
    "{%- set ns3 = namespace(assistant_text='') -%}"
    "{%- if m.content is string -%}"
    "{%- set ns3.assistant_text = m.content -%}"
    "{%- else -%}"
    "{%- for c in m.content -%}"
    "{%- if c.type == 'text' and (c.text is defined) -%}"
    "{%- set ns3.assistant_text = ns3.assistant_text + c.text -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_start|>assistant\n' -}}"
    "{% generation %}"
    "{{- ns3.assistant_text + '<|im_end|>\n' -}}"
    "{% endgeneration %}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\n' -}}"
    "{%- endif -%}"
)

# -hf: chat_template.jinja of the aligner; the words come as text blocks.
HF_ALIGNER = (
    "{%- set ns = namespace(audio_tokens='', words=[]) -%}"
    "{%- for m in messages -%}"
    "{%- if m.content is not string -%}"
    "{%- for c in m.content -%}"
    "{%- if c.type == 'audio' or ('audio' in c) or ('audio_url' in c) -%}"
    "{%- set ns.audio_tokens = ns.audio_tokens + '<|audio_start|><|audio_pad|><|audio_end|>' -%}"
    "{%- endif -%}"
    "{%- if c.type == 'text' and (c.text is defined) -%}"
    "{%- set ns.words = ns.words + [c.text] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{{- ns.audio_tokens + ns.words | join('<timestamp><timestamp>') + '<timestamp><timestamp>' -}}"
)
