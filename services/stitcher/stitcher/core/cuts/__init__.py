"""Making a cut: the edit, the plan of FFmpeg's runs, the quality gate, and the use case over them."""
