"""Finding defects in frames: models, engines and teach-in from good parts."""
