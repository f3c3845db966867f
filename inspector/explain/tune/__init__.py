"""`inspector explain tune`: a small adapter that fits a language model to the wording of explanations."""
