"""The payments stored here and those of the provider, compared both ways; what a rule may settle is repaired."""
