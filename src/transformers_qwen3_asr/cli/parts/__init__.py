"""Options of verbs and what goes with them: texts, cues, pictures, the summary."""
